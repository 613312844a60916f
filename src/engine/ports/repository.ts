/**
 * What the engine asks of storage. Batch-shaped and positional: the n-th outcome answers the n-th item, and one item
 * never decides over another. One call touches one shard and is one commit, unless it says otherwise. Refusals are
 * outcomes; a call that throws (`StoreError`) did nothing, or nobody knows (`unavailable`).
 */
import type { JobEvent } from '../../domain/event.ts';
import type { Failure, Job, JobId, JobSpec, JobState, Micros } from '../../domain/job.ts';
import type { Lease, LeaseToken } from '../../domain/lease.ts';
import type { Queue, QueueName } from '../../domain/queue.ts';
import type { Violation } from '../../domain/history.ts';

export interface EnqueueItem {
  readonly queue: Queue;
  readonly jobId: JobId;
  readonly spec: JobSpec;
  /** SHA-256 of what makes the content of a job: equal digest, same job. */
  readonly digest: Uint8Array;
}

/** All or none. `refuse` looks at the outcomes before the commit; true undoes them. */
export interface AtomicBatch {
  readonly items: readonly EnqueueItem[];
  readonly refuse: (outcomes: readonly EnqueueOutcome[]) => boolean;
}

export type EnqueueOutcome =
  | { readonly kind: 'enqueued'; readonly job: Job }
  | { readonly kind: 'duplicate'; readonly job: Job; readonly sameContent: boolean }
  /** The id is taken by a job that this namespace may not see. */
  | { readonly kind: 'id_taken' };

/** One waiting claimer's share of a claim. */
export interface ClaimSlot {
  readonly workerId: string;
  readonly maxJobs: number;
  /** Null takes the queue's. */
  readonly leaseDurationMs: number | null;
  readonly startOnClaim: boolean;
  readonly requestId: string | null;
  /** Random UUID: the secret part of the tokens given under it. */
  readonly secret: string;
}

export interface ClaimedJob {
  readonly job: Job;
  readonly payload: Uint8Array;
  readonly lease: Lease;
  readonly checkpoint: Uint8Array | null;
}

export interface SettleItem {
  readonly token: LeaseToken;
}

export interface AckItem extends SettleItem {
  readonly result: Uint8Array;
  readonly contentType: string;
}

export interface FailItem extends SettleItem {
  readonly failure: Failure;
  readonly retryAfterMs: number | null;
  /** Random in [0.5, 1): drawn by the caller, so that the rule stays pure. */
  readonly jitterFactor: number;
}

export interface ReleaseItem extends SettleItem {
  readonly delayMs: number;
}

export interface HeartbeatItem extends SettleItem {
  readonly checkpoint: Uint8Array | null;
}

/** What became of a failed attempt. */
export type FailDecision =
  | { readonly kind: 'retry_scheduled'; readonly nextAttempt: number; readonly retryAt: Micros }
  | { readonly kind: 'dead_lettered' }
  | { readonly kind: 'failed' };

export interface Applied {
  readonly kind: 'applied' | 'already_applied';
  readonly job: Job;
}

export interface LeaseLost {
  readonly kind: 'lease_lost';
}

/** Held, but a claim with an explicit start has not been started: neither ack nor fail can end it. */
export interface NotStarted {
  readonly kind: 'not_started';
  readonly jobId: JobId;
}

export type SettleOutcome = Applied | LeaseLost | NotStarted;
export type FailOutcome = (Applied & { readonly decision: FailDecision }) | LeaseLost | NotStarted;

/** `NOT_HELD`: nothing is known of the token. `EXPIRED`: not renewed in time. `SETTLED`: by its holder. */
export type LeaseLossReason = 'NOT_HELD' | 'EXPIRED' | 'SETTLED';

export type HeartbeatOutcome =
  | { readonly kind: 'renewed'; readonly expiresAt: Micros; readonly ttlMs: number }
  | { readonly kind: 'lease_lost'; readonly reason: LeaseLossReason };

export interface JobFilter {
  readonly namespace: string;
  readonly queue: string | null;
  readonly type: string | null;
  readonly states: readonly JobState[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface JobPage {
  readonly jobs: readonly Job[];
  /** The last job looked at, where there may be more after it. */
  readonly nextAfter: JobId | null;
}

export interface History {
  readonly namespace: string;
  readonly events: readonly JobEvent[];
  readonly latestSequence: number;
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

export interface InvariantPage {
  readonly violations: readonly (Violation & { readonly jobId: JobId })[];
  readonly next: string | null;
}

export interface Repository {
  resolveQueues(names: readonly QueueName[]): Promise<readonly (Queue | null)[]>;
  createQueues(names: readonly QueueName[]): Promise<readonly Queue[]>;

  enqueueMany(items: readonly EnqueueItem[]): Promise<readonly EnqueueOutcome[]>;
  enqueueAtomic(items: AtomicBatch['items'], refuse: AtomicBatch['refuse']): Promise<readonly EnqueueOutcome[]>;
  getJobs(ids: readonly JobId[]): Promise<readonly (Job | null)[]>;
  getPayload(id: JobId): Promise<Uint8Array | null>;
  listJobs(filter: JobFilter, pageSize: number, after: JobId | null): Promise<JobPage>;

  /** Claims in dispatch order from the queues and hands the jobs to the slots in turn. */
  claim(queues: readonly Queue[], slots: readonly ClaimSlot[]): Promise<readonly (readonly ClaimedJob[])[]>;
  /** The live leases given to a worker under a request id. */
  leasesOfRequest(namespace: string, workerId: string, requestId: string): Promise<readonly ClaimedJob[]>;
  startMany(items: readonly SettleItem[]): Promise<readonly (Applied | LeaseLost)[]>;
  heartbeatMany(items: readonly HeartbeatItem[]): Promise<readonly HeartbeatOutcome[]>;
  ackMany(items: readonly AckItem[]): Promise<readonly SettleOutcome[]>;
  failMany(items: readonly FailItem[]): Promise<readonly FailOutcome[]>;
  releaseMany(items: readonly ReleaseItem[]): Promise<readonly SettleOutcome[]>;

  history(jobId: JobId, afterSequence: number, limit: number): Promise<History | null>;
  peekQueue(queue: Queue, limit: number): Promise<readonly Job[]>;
  checkInvariants(namespace: string, pageSize: number, after: string | null): Promise<InvariantPage>;

  promoteDue(): Promise<UpkeepRound>;
  expireLeases(): Promise<UpkeepRound>;
  ensurePartitions(): Promise<void>;
  databaseTime(): Promise<Micros>;
}
