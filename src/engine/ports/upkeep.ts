import type { JobId, Micros } from '../../domain/job.ts';
import type { QueueName } from '../../domain/queue.ts';

/** When upkeep is wanted, by the database's clock; null: nothing waits for it. */
export interface UpkeepDue {
  readonly promoteAt: Micros | null;
  readonly leaseEndsAt: Micros | null;
  readonly timeOutAt: Micros | null;
  /** A concurrency key may have room for a BLOCKED job. */
  readonly unblockAt: Micros | null;
  /** When the journal has something that is not folded. */
  readonly foldAt: Micros | null;
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
  /** True where concurrency keys were touched: BLOCKED jobs may have a slot. */
  readonly touchesKeys: boolean;
}

/** A round that gave slots of concurrency keys: `count` jobs that became READY. */
export interface Unblocked extends UpkeepRound {
  /** Each job that moved, and its state; its last sequence is one higher. */
  readonly jobs: readonly { readonly jobId: JobId; readonly state: 'READY' | 'BLOCKED' }[];
}

/** Where a fairness key stands: queue, rank and key. */
export interface FairPlace {
  readonly queueId: number;
  readonly rank: bigint;
  readonly key: string;
}

/** A round over the fairness keys: how many had no jobs any more, and where to go on; null: at the beginning. */
export interface FairSweep {
  readonly swept: number;
  readonly next: FairPlace | null;
}

/** Leases that were ended: how many, and how. What is in none of the first three expired. */
export interface EndedLeases {
  readonly count: number;
  readonly timedOut: number;
  readonly cancelled: number;
  readonly abandoned: number;
  /** Those whose job waits for another try. */
  readonly retried: number;
  /** Those whose job left a dead letter. */
  readonly deadLettered: number;
}

/** Jobs that were ended while they waited: how many, and how many of them left a dead letter. */
export interface EndedWaiting {
  readonly count: number;
  readonly deadLettered: number;
}

/** A round that ended leases. */
export type LeaseRound = UpkeepRound & EndedLeases;

/** A round that ended jobs while they waited. */
export type WaitingRound = UpkeepRound & EndedWaiting;

/** What upkeep asks of storage. A round does what is due, a batch of it in a commit, and costs next to nothing where nothing is. */
export interface Rounds {
  /** Costs next to nothing where nothing is due, as the rounds do not. */
  nextDue(): Promise<UpkeepDue>;
  promoteDue(): Promise<UpkeepRound>;
  expireLeases(): Promise<LeaseRound>;
  /** Ends waiting jobs whose schedule_to_start or schedule_to_close has passed. */
  timeOut(): Promise<WaitingRound>;
  /** BLOCKED jobs become READY where their key has a slot. */
  unblock(): Promise<Unblocked>;
  /** Forgets fairness keys that have no jobs; `after` is where the round before stopped. */
  sweepFairKeys(after: FairPlace | null): Promise<FairSweep>;
  /** Removes jobs that have been over for longer than their queue retains them, and what was remembered for as long. A batch a commit. */
  pruneExpired(): Promise<UpkeepRound>;
  /** Drops partitions in which nothing is left, and those of the journal that are old enough: how many. */
  dropPartitions(): Promise<number>;
  /**
   * Once a second: keeps claims fast while rows come and go, by vacuums or, while somebody holds a snapshot, by floors. It does what pays,
   * and costs nothing where nothing was claimed.
   */
  keepLean(): Promise<void>;
  /** Folds what was done since the last fold into the numbers of the queues; `count` tells statements. */
  foldJournal(): Promise<UpkeepRound>;
  ensurePartitions(): Promise<void>;
}
