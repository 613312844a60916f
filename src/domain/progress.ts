import type { JobId, Micros } from './job.ts';

/** How far an attempt has come, as its worker tells it. */
export interface Progress {
  /** 0 to 1; null where it cannot be told. */
  readonly fraction: number | null;
  /** One line for people. */
  readonly message: string;
}

/** When progress was told: of two of a job the one under the higher fence counts, and under the same fence the later one. */
export interface Told {
  readonly jobId: JobId;
  readonly fence: bigint;
  /** Of the heartbeat, by the database's clock, to the millisecond. */
  readonly reportedAt: Micros;
}

/** The newest progress of a job. Not an event: it has no sequence and is kept nowhere. */
export interface JobProgress extends Told {
  readonly namespace: string;
  readonly queue: string;
  readonly attempt: number;
  readonly workerId: string;
  readonly progress: Progress;
}

export function isOlder(one: Told, other: Told): boolean {
  return one.fence < other.fence || (one.fence === other.fence && one.reportedAt < other.reportedAt);
}
