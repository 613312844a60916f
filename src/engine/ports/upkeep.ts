import type { Micros } from '../../domain/job.ts';
import type { QueueName } from '../../domain/queue.ts';

/** When upkeep is wanted, by the database's clock; null: nothing waits for it. */
export interface UpkeepDue {
  readonly promoteAt: Micros | null;
  readonly leaseEndsAt: Micros | null;
  readonly timeOutAt: Micros | null;
  readonly databaseTime: Micros;
}

/** What a round of upkeep did, and when it is wanted next. */
export interface UpkeepRound {
  readonly count: number;
  /** True when the batch was full: more is due at once. */
  readonly more: boolean;
  readonly nextDueAt: Micros | null;
  readonly databaseTime: Micros;
  /** Queues that have jobs to claim because of it. */
  readonly readyQueues: readonly QueueName[];
}

/** A round that ended leases: `count` of them, and how. What is in none of the three expired. */
export interface LeaseRound extends UpkeepRound {
  readonly timedOut: number;
  readonly cancelled: number;
  readonly abandoned: number;
}
