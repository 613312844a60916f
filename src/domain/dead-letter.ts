/** The record of one life that ended FAILED: exactly one for each, where the queue's dead letters are enabled. */
import type { Attempt } from './attempt.ts';
import { type Failure, type JobId, type Micros, parseJobId } from './job.ts';

/** A life fails once, so it names its dead letter. */
export interface DeadLetterId {
  readonly jobId: JobId;
  readonly life: number;
}

export interface DeadLetter extends DeadLetterId {
  /** Place in the order in which they happened; not without gaps. */
  readonly position: bigint;
  readonly namespace: string;
  readonly queue: string;
  readonly type: string;
  readonly failure: Failure;
  /** The last tries of that life, oldest first. */
  readonly attempts: readonly Attempt[];
  /** The input, as far as it is kept. */
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly isPayloadTruncated: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly deadLetteredAt: Micros;
  readonly replayedAt: Micros | null;
}

export function formatDeadLetterId({ jobId, life }: DeadLetterId): string {
  return `${jobId}.${life}`;
}

const LIFE = /^[1-9]\d{0,9}$/;
const LAST_LIFE = 2 ** 31 - 1;

/** Null for what this service cannot have written. */
export function parseDeadLetterId(text: string): DeadLetterId | null {
  const [id = '', life = '', ...rest] = text.split('.');
  const jobId = parseJobId(id);
  if (jobId === null || rest.length > 0 || !LIFE.test(life) || Number(life) > LAST_LIFE) return null;
  return { jobId, life: Number(life) };
}
