/**
 * What a queue's signature is taken of: keys, states, order, attempts and reasons. No clock, no random id and no name of a process or
 * queue, so that the same history, lived through twice, reads the same.
 */
import type { AttemptOutcome } from './attempt.ts';
import type { Disposition, JobState } from './job.ts';

export interface SignedJob {
  readonly type: string;
  readonly contentType: string;
  /** Stands for the payload. */
  readonly payloadDigest: string;
  readonly idempotencyKey: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly disposition: Disposition;
  readonly priority: number;
  readonly state: JobState;
  readonly life: number;
  /** Spent tries of this life. */
  readonly attempt: number;
  /** Those that have ended, over all lives, in their order. */
  readonly attempts: readonly SignedAttempt[];
  /** Of its lives that have ended, the first one first. */
  readonly ends: readonly SignedEnd[];
  /** What was asked of it or done to it by others than its holder, in the order of its events. */
  readonly marks: readonly SignedMark[];
}

export interface SignedAttempt {
  readonly life: number;
  readonly attempt: number;
  readonly outcome: AttemptOutcome;
  readonly failureCode: string;
  readonly reason: string;
}

export interface SignedEnd {
  readonly life: number;
  /** Code of the event, as in `EVENT_CODES`. */
  readonly type: number;
  readonly failureCode: string;
  readonly reason: string;
}

export interface SignedMark {
  /** Code of the event, as in `EVENT_CODES`. */
  readonly type: number;
  readonly life: number;
  readonly reason: string;
}

/** A text that no other job reads as. */
export function canonicalJob(job: SignedJob): string {
  const labels = Object.entries(job.labels).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return record([
    job.type,
    job.contentType,
    job.payloadDigest,
    job.idempotencyKey,
    record(labels.map(record)),
    job.disposition,
    job.priority,
    job.state,
    job.life,
    job.attempt,
    record(job.attempts.map(({ life, attempt, outcome, failureCode, reason }) => record([life, attempt, outcome, failureCode, reason]))),
    record(job.ends.map(({ life, type, failureCode, reason }) => record([life, type, failureCode, reason]))),
    record(job.marks.map(({ type, life, reason }) => record([type, life, reason]))),
  ]);
}

/** The same of a queue, of what stands for each of its jobs. Only the backlog has an order; that of the others is by chance. */
export function canonicalQueue({ backlog, others }: { readonly backlog: readonly string[]; readonly others: readonly string[] }): string {
  return record([record(backlog), record(others.toSorted())]);
}

/** Each part with its length before it: no two lists of parts read alike. */
function record(parts: readonly (string | number)[]): string {
  return parts.map((part) => `${String(part).length}:${part}`).join('');
}
