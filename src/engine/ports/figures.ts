/** How the queues are doing, all of them at one moment: what metrics tell. */
import type { JobCounts, QueueName } from '../../domain/queue.ts';

/** What waits and is worked on in a queue, or in several. */
export interface Backlog {
  readonly jobs: JobCounts & { readonly blocked: number };
  /** Age of the job that has been READY for longest; null: none is. */
  readonly oldestReadyMs: number | null;
  /** That are not replayed. */
  readonly deadLetters: number;
}

export interface Figures {
  /** Those with the most jobs, each by its name. */
  readonly queues: readonly (QueueName & Backlog)[];
  /** All others together; null where there are none. */
  readonly others: Backlog | null;
  /** Null: nobody holds a snapshot. */
  readonly oldestSnapshotMs: number | null;
}
