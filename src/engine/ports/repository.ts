/**
 * What the engine asks of storage. Batch-shaped and positional: the n-th outcome answers the n-th item, and one item
 * never decides over another. One call touches one shard and is one commit, unless it says otherwise. Refusals are
 * outcomes; a call that throws (`StoreError`) did nothing, or nobody knows (`unavailable`).
 */
import type { Attempt } from '../../domain/attempt.ts';
import type { Refusal, Result } from '../../domain/error.ts';
import type { Evidence, JobChange } from '../../domain/event.ts';
import type { Failure, Job, JobId, JobSpec, JobState, Micros } from '../../domain/job.ts';
import type { Lease } from '../../domain/lease.ts';
import type { ClaimChannel, Queue, QueueName } from '../../domain/queue.ts';
import type { Violation } from '../../domain/history.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { JobEvents } from './events.ts';
import type { HeldAttempts } from './held-attempts.ts';
import type { HeartbeatOutcome, SettleItem } from './leases.ts';
import type { QueueLimit, Queues } from './queues.ts';
import type { RequestKey } from './request-key.ts';
import type { Rounds } from './upkeep.ts';
import type { Verification } from './verification.ts';
import type { WorkStore } from './work.ts';
import type { SignedJob } from '../../domain/signature.ts';

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
  | { readonly kind: 'id_taken' }
  /** The queue takes none just now. */
  | { readonly kind: 'refused'; readonly refusal: Refusal };

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

export interface Given {
  /** For each slot, in dispatch order. */
  readonly jobs: readonly (readonly ClaimedJob[])[];
  readonly limits: readonly QueueLimit[];
  /** A queue bounds what a worker holds: one of the slots was looked for, the first that could have any. */
  readonly oneSlot?: boolean;
}

export interface AckItem extends SettleItem {
  readonly result: Uint8Array;
  readonly contentType: string;
}

export interface FailItem extends SettleItem {
  readonly failure: Failure;
  readonly retryAfterMs: number | null;
  /** No job of its concurrency key becomes READY before, nor is this one tried again. */
  readonly throttleUntil?: Micros | null;
  /** Random in [0.5, 1): drawn by the caller, so that the rule stays pure. */
  readonly jitterFactor: number;
}

export interface ReleaseItem extends SettleItem {
  readonly delayMs: number;
}

export interface SuspendItem extends SettleItem {
  readonly checkpoint: Uint8Array | null;
  readonly reason: string;
}

export interface HeartbeatItem extends SettleItem {
  readonly checkpoint: Uint8Array | null;
  /** The open session that lists the lease, and keeps it from here on where both run as long. */
  readonly session?: string | null;
}

/** What became of a failed attempt. */
export type FailDecision =
  | { readonly kind: 'retry_scheduled'; readonly nextAttempt: number; readonly retryAt: Micros }
  /** With the life that failed: its job may have another by now. */
  | { readonly kind: 'dead_lettered'; readonly life: number }
  | { readonly kind: 'failed' }
  /** Its cancellation had been asked for. */
  | { readonly kind: 'cancelled' };

export interface Applied {
  readonly kind: 'applied' | 'already_applied';
  readonly job: Job;
  /** Set where the end of its life left a dead letter. */
  readonly deadLettered?: true;
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

/** A change of one job that its holder does not make. */
export interface OperateItem {
  readonly namespace: string;
  readonly jobId: JobId;
  readonly request: RequestKey | null;
}

export interface ReasonItem extends OperateItem {
  readonly reason: string;
}

export interface UpdateItem extends OperateItem {
  readonly change: JobChange;
}

export interface CompleteItem extends OperateItem {
  readonly completion:
    | { readonly kind: 'success'; readonly result: Uint8Array; readonly contentType: string }
    | { readonly kind: 'failure'; readonly failure: Failure }
    | { readonly kind: 'cancellation'; readonly reason: string };
  readonly evidence: Evidence;
}

/** `unchanged`: it was so already, or the request was answered before. */
export type Operated<Outcome extends string> =
  | {
      readonly kind: 'applied' | 'unchanged';
      readonly job: Job;
      readonly outcome: Outcome;
      /** Set where the end of its life left a dead letter. */
      readonly deadLettered?: true;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export type CancelOutcome = 'CANCELLED' | 'CANCEL_REQUESTED' | 'ALREADY_TERMINAL';
export type AbandonOutcome = 'ABANDONED' | 'ABANDON_REQUESTED' | 'ALREADY_TERMINAL';
export type ChangeOutcome = 'CHANGED';

export interface JobFilter {
  readonly namespace: string;
  readonly queue: string | null;
  readonly type: string | null;
  /** Empty: in any. */
  readonly states: readonly JobState[];
  readonly labels: Readonly<Record<string, string>>;
  /** Only enqueued at or after this time. */
  readonly createdFrom: Micros | null;
  /** Only enqueued before this time. */
  readonly createdBefore: Micros | null;
}

export interface JobPage {
  readonly jobs: readonly Job[];
  /** The last job looked at, where there may be more after it. */
  readonly nextAfter: JobId | null;
}

export interface AttemptPage {
  /** By fence, ascending. */
  readonly attempts: readonly Attempt[];
  /** The fence to go on after, where there may be more. */
  readonly nextAfter: bigint | null;
}

/** Jobs to change alike in one commit: a page of a listing. */
export interface OperatePage {
  readonly namespace: string;
  readonly jobIds: readonly JobId[];
  /** Where the listing goes on: remembered with the answer, which would be half of one without it. */
  readonly nextAfter: JobId | null;
  readonly reason: string;
  readonly request: RequestKey | null;
}

/** `Told` is what each job came to. */
export interface BulkPage<Told> {
  readonly results: readonly { readonly jobId: JobId; readonly result: Result<Told> }[];
  readonly nextAfter: JobId | null;
}

export interface OperatedPage<Told> {
  readonly answer: Result<BulkPage<Told>>;
  /** The jobs that it changed, without their results. */
  readonly changed: readonly Job[];
}

export interface SignedQueue<Reduced> {
  /** Those that may be claimed, in dispatch order. */
  readonly backlog: readonly Reduced[];
  /** The others, in no order. */
  readonly others: readonly Reduced[];
}

export interface InvariantPage {
  /** `jobId` is null where it is a queue that counts wrong. */
  readonly violations: readonly (Violation & { readonly jobId: JobId | null })[];
  readonly next: string | null;
}

export interface Repository extends DeadLetters, HeldAttempts, JobEvents, Queues, Rounds, Verification, WorkStore {
  resolveQueues(names: readonly QueueName[]): Promise<readonly (Queue | null)[]>;
  createQueues(names: readonly QueueName[]): Promise<readonly Queue[]>;

  enqueueMany(items: readonly EnqueueItem[]): Promise<readonly EnqueueOutcome[]>;
  enqueueAtomic(items: AtomicBatch['items'], refuse: AtomicBatch['refuse']): Promise<readonly EnqueueOutcome[]>;
  getJobs(ids: readonly JobId[]): Promise<readonly (Job | null)[]>;
  /** The job as it was when a life of it ended; null for a life that has not. */
  endOfLife(id: JobId, life: number): Promise<Job | null>;
  getPayload(id: JobId): Promise<Uint8Array | null>;
  listJobs(filter: JobFilter, pageSize: number, after: JobId | null): Promise<JobPage>;
  /** Null for a job that the namespace does not have. */
  listAttempts(query: {
    readonly namespace: string;
    readonly jobId: JobId;
    readonly pageSize: number;
    readonly after: bigint;
  }): Promise<AttemptPage | null>;

  /** Claims in dispatch order from the queues and hands the jobs to the slots in turn. */
  claim(queues: readonly Queue[], slots: readonly ClaimSlot[], types?: readonly string[], channel?: ClaimChannel): Promise<Given>;
  /** One step of sorting the READY jobs of queues by type; false: there are more. Waits until the writes under way have ended. */
  sortByType(queues: readonly Queue[]): Promise<boolean>;
  /** The live leases given to a worker under a request id. */
  leasesOfRequest(namespace: string, workerId: string, requestId: string): Promise<readonly ClaimedJob[]>;
  startMany(items: readonly SettleItem[]): Promise<readonly (Applied | LeaseLost)[]>;
  heartbeatMany(items: readonly HeartbeatItem[]): Promise<readonly HeartbeatOutcome[]>;
  ackMany(items: readonly AckItem[]): Promise<readonly SettleOutcome[]>;
  failMany(items: readonly FailItem[]): Promise<readonly FailOutcome[]>;
  releaseMany(items: readonly ReleaseItem[]): Promise<readonly SettleOutcome[]>;
  suspendMany(items: readonly SuspendItem[]): Promise<readonly SettleOutcome[]>;

  cancelMany(items: readonly ReasonItem[]): Promise<readonly Operated<CancelOutcome>[]>;
  updateMany(items: readonly UpdateItem[]): Promise<readonly Operated<ChangeOutcome>[]>;
  retryMany(items: readonly ReasonItem[]): Promise<readonly Operated<ChangeOutcome>[]>;
  resumeMany(items: readonly ReasonItem[]): Promise<readonly Operated<ChangeOutcome>[]>;
  requestAbandonMany(items: readonly ReasonItem[]): Promise<readonly Operated<AbandonOutcome>[]>;
  completeMany(items: readonly CompleteItem[]): Promise<readonly Operated<ChangeOutcome>[]>;
  cancelPage(page: OperatePage): Promise<OperatedPage<CancelOutcome>>;
  /** Tells the number of the new life. */
  retryPage(page: OperatePage): Promise<OperatedPage<number>>;

  peekQueue(queue: Queue, limit: number, types?: readonly string[]): Promise<readonly Job[]>;
  /** Every job of a queue at one instant, as `reduce` makes of each; null where they are more than the limit. */
  signedJobs<Reduced>(queue: Queue, limit: number, reduce: (job: SignedJob) => Reduced): Promise<SignedQueue<Reduced> | null>;
  checkInvariants(namespace: string, pageSize: number, after: string | null): Promise<InvariantPage>;

  databaseTime(): Promise<Micros>;
}
