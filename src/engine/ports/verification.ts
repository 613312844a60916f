import type { JobId } from '../../domain/job.ts';
import type { Queue } from '../../domain/queue.ts';
import type { ReplayedJob } from '../../domain/replay.ts';

export interface RetainedJobs {
  /** Ascending. */
  readonly ids: readonly JobId[];
  /** Where to go on, null at the end: nothing up to it was left out. */
  readonly nextAfter: JobId | null;
}

export interface Verification {
  /** The next jobs of a queue by id; a call looks at `LIMITS.scannedRows` records at most. */
  retainedJobs(queue: Queue, limit: number, after: JobId | null): Promise<RetainedJobs>;
  /** Positional, each job at one instant, with its first events up to `eventsEach`; null for one that is not there. */
  replayedJobs(ids: readonly JobId[], eventsEach: number): Promise<readonly ((ReplayedJob & { readonly namespace: string }) | null)[]>;
}
