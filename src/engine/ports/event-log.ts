/** What committed, as it becomes visible to this replica: for followers, for those who await a job, for parked claims. */
import type { JobId } from '../../domain/job.ts';
import type { Epoch, LogChunk, LogPosition } from './journal.ts';

/** Follows the log from a position; holds no events of its own, however slowly it is read. */
export interface LogReader {
  /** Behind everything `next` has handed out. */
  readonly position: LogPosition;
  /** What comes next, or null when nothing came before the signal did. Throws `EpochEnded` when the history is over. */
  next(signal: AbortSignal): Promise<LogChunk | null>;
  close(): void;
}

/** Tells that something may have happened to a job: read it again. Level-triggered: nothing between two waits is missed. */
export interface JobWatch {
  changed(signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface EventLog {
  /** The epoch this replica reads in; refreshed by a look at the database. */
  epoch(): Promise<Epoch>;
  readFrom(start: LogPosition | 'now' | 'beginning'): Promise<LogReader>;
  /** What is committed after the promise resolves is told. */
  watch(jobId: JobId): Promise<JobWatch>;
  /** Keeps this replica reading, for one who is woken by what it reads. */
  keepReading(): { close: () => void };
  /** Something was committed here: look at once, and tell the other replicas. */
  committed(): void;
}

/** The database began another history (restore, fail-over): what was read so far cannot be continued. */
export class EpochEnded extends Error {
  constructor() {
    super('the database began another history');
    this.name = 'EpochEnded';
  }
}
