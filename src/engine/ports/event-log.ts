/** What committed, as it becomes visible to this replica: for followers, for those who await a job, for parked claims. */
import type { JobId } from '../../domain/job.ts';
import type { Epoch, LogChunk, LogPosition } from './journal.ts';

/** Follows the log from a position; holds no events of its own, however slowly it is read. */
export interface LogReader {
  /** Behind everything `next` has handed out. */
  readonly position: LogPosition;
  /** What comes next, or null when nothing came within `forMs` or before the signal. Throws `EpochEnded` when the history is over. */
  next(signal: AbortSignal, forMs: number): Promise<LogChunk | null>;
  close(): void;
}

/** Tells that something may have happened to a job: read it again. Level-triggered: nothing between two waits is missed. */
export interface JobWatch {
  /** Whether anything may have happened since the last answer; not where the signal came first. */
  changed(signal: AbortSignal): Promise<boolean>;
  close(): void;
}

/** Of several jobs: which of them may have ended since the last answer; none where the signal came first. Level-triggered, too. */
export interface JobsWatch {
  ended(signal: AbortSignal): Promise<readonly JobId[]>;
  close(): void;
}

/** What of a job is watched: whatever happens to it, or the ends of its lives only. */
export type Watched = 'changes' | 'ends';

/**
 * Jobs that are watched on one replica, each as often as it is: some hundred bytes each, and a read when all wake at
 * once. Ten thousand streams of twenty jobs.
 */
export const MAX_WATCHES = 200_000;

export interface EventLog {
  /** The epoch this replica reads in, by a look at the database that began after the call; calls meanwhile share the next one. */
  epoch(): Promise<Epoch>;
  readFrom(start: LogPosition | 'now' | 'beginning'): Promise<LogReader>;
  /** What is committed after the promise resolves is told. Refused as `overloaded` past `MAX_WATCHES`. */
  watch(jobId: JobId, watched?: Watched): Promise<JobWatch>;
  /** The same of several jobs, each named once, for the ends of their lives; each counts as a watch. */
  watchMany(jobIds: readonly JobId[]): Promise<JobsWatch>;
  /** Keeps this replica reading, for one who is woken by what it reads. */
  keepReading(): { close: () => void };
  /** The same for one who is woken by `committedAndTold` without reading: nothing is read for his sake when that is called. */
  keepHearing(): { close: () => void };
  /** Something was committed here: look at once, and tell the other replicas. */
  committed(): void;
  /** The same, where those who hear were woken for all of it. */
  committedAndTold(): void;
}

/** The database began another history (restore, fail-over): what was read so far cannot be continued. */
export class EpochEnded extends Error {
  constructor() {
    super('the database began another history');
    this.name = 'EpochEnded';
  }
}

/** How far this replica is with telling what was committed. */
export interface FeedState {
  /** Jobs that somebody waits for or follows here. */
  readonly watchedJobs: number;
  /** Those who follow the log of events here. */
  readonly followers: number;
  /** Whatever was committed longer ago is told, in milliseconds; 0 while nobody wants to know. */
  readonly lagMs: number;
}
