/**
 * What the engine can do, as the wire's edge sees it. One file an action stands behind each line. Refusals are values;
 * a stream ends by throwing `RefusalError` where it has no other way to say no; anything else thrown is a defect or a
 * `StoreError`.
 */
import type { JobChange, JobEvent } from '../domain/event.ts';
import type { Result } from '../domain/error.ts';
import type { Job, JobId, JobSpec, Micros } from '../domain/job.ts';
import type { LeaseToken } from '../domain/lease.ts';
import type { JobProgress } from '../domain/progress.ts';
import type { QueueStats } from '../domain/queue-stats.ts';
import type { Load, ScaleTrigger } from '../domain/scaling.ts';
import type { ClaimChannel, ConfiguredQueue, QueueName } from '../domain/queue.ts';
import type { Ending } from './ending.ts';
import type { AppendEvent } from './events/append-event.ts';
import type { AwaitedEvent, AwaitEvent } from './events/await-event.ts';
import type { Awaited, AwaitTerminal } from './jobs/await-terminal.ts';
import type { AwaitJobs, EndedJobs } from './jobs/awaited-jobs.ts';
import type { Bulk } from './jobs/bulk.ts';
import type { ListAttempts } from './jobs/list-attempts.ts';
import type { Signature } from './queues/get-signature.ts';
import type { Ack, Acked, Beat, Fail, Failed, Release, Released, Settled, Settlement, Suspend } from './workers/words.ts';
import type { DeadLetterPage, ReplayedPage } from './ports/dead-letters.ts';
import type { ListDeadLetters } from './queues/list-dead-letters.ts';
import type { ReplayDeadLetters } from './queues/replay-dead-letters.ts';
import type {
  AbandonOutcome,
  AttemptPage,
  BulkPage,
  CancelOutcome,
  ChangeOutcome,
  ClaimedJob,
  CompleteItem,
  InvariantPage,
  JobFilter,
  JobPage,
} from './ports/repository.ts';
import type { HeartbeatOutcome } from './ports/leases.ts';
import type { ActionItem, AuditPage, PruneItem, Pruned, PutItem } from './ports/queues.ts';
import type { RequestKey } from './ports/request-key.ts';
import type { QueueChange } from './queues/configure.ts';
import type { VerifiedPage, VerifyReplay } from './queues/verify-replay.ts';
import type { Drained } from './queues/wait-drained.ts';
import type { WatchQueueStats } from './queues/watch-queue-stats.ts';
import type { OpenWork, WorkSession } from './work/work.ts';

export interface ListAudit {
  readonly namespace: string;
  /** Null: of whatever queue, and of the namespace itself. */
  readonly queue: string | null;
  readonly pageSize: number;
  readonly before: bigint | null;
}

export interface Enqueued {
  readonly job: Job;
  readonly deduplicated: boolean;
}

export interface EnqueueBatch {
  readonly namespace: string;
  /** Positional: a job, or why the request's item is none. */
  readonly items: readonly Result<JobSpec>[];
  readonly atomic: boolean;
}

export interface Claim {
  readonly namespace: string;
  readonly workerId: string;
  readonly queues: readonly string[];
  /** Only jobs of these; default: of any. */
  readonly types?: readonly string[];
  readonly maxJobs: number;
  /** 0 answers at once; null waits without end. */
  readonly waitMs: number | null;
  /** By which of the two ways of a queue it claims: `Work` is pushed to. Default: pull. */
  readonly channel?: ClaimChannel;
  readonly leaseDurationMs: number | null;
  readonly startOnClaim: boolean;
  readonly requestId: string | null;
}

export interface Claimed {
  readonly jobs: readonly ClaimedJob[];
  readonly decision: 'ASSIGNED' | 'EMPTY' | 'BACKPRESSURE' | 'PAUSED';
  /** These leases were given under the same request id before: whoever got that answer may be at work. */
  readonly repeated?: true;
}

/** What every change of one job by others than its holder names. */
export interface Operate {
  readonly namespace: string;
  readonly jobId: JobId;
  readonly request: RequestKey | null;
}

export type Reasoned = Operate & { readonly reason: string };

export interface Done<Outcome extends string> {
  readonly job: Job;
  readonly outcome: Outcome;
}

export type Scope =
  { readonly kind: 'job'; readonly jobId: JobId } | { readonly kind: 'queue'; readonly queue: string } | { readonly kind: 'everything' };

export interface Subscribe {
  readonly namespace: string;
  readonly scope: Scope;
  /** Empty: all. */
  readonly types: readonly string[];
  readonly start:
    { readonly kind: 'cursor'; readonly cursor: string } | { readonly kind: 'from_beginning' } | { readonly kind: 'from_now' };
  /** Default: no. */
  readonly includeProgress?: boolean;
}

export interface Delivery {
  /** One array is one message, to however many it is delivered. */
  readonly events: readonly JobEvent[];
  /** Resumes after the whole message. */
  readonly cursor: string;
  /** The newest of each job; a message that has any has no events. Default: none. */
  readonly progress?: readonly JobProgress[];
  /** Set on the last message, when the server ends the stream: why. */
  readonly reconnect: Ending | 'history_ended' | null;
}

export interface ListEvents {
  readonly namespace: string;
  readonly jobId: JobId;
  readonly afterSequence: number;
  /** Empty: all. */
  readonly types: readonly string[];
  /** Of those the last so many; default: from the first. */
  readonly recent?: number;
  readonly pageSize: number;
}

export interface EventPage {
  readonly events: readonly JobEvent[];
  readonly latestSequence: number;
  /** The sequence to go on after, where there is more. */
  readonly nextAfter: number | null;
}

/** What one round of upkeep did. */
export interface UpkeepCounts {
  readonly promoted: number;
  readonly expired: number;
  readonly timedOut: number;
  readonly cancelled: number;
  readonly abandoned: number;
  /** BLOCKED jobs that became READY. */
  readonly unblocked: number;
  readonly pruned: number;
}

/**
 * What lasts stops without a word when its `signal` aborts, for then nobody listens. With `ending` it ends in order: told why, as
 * `endingOf` reads it. Default: when the service drains.
 */
export interface Engine {
  readonly jobs: {
    enqueue(command: { readonly namespace: string; readonly spec: JobSpec }): Promise<Result<Enqueued>>;
    enqueueBatch(command: EnqueueBatch): Promise<Result<readonly Result<Enqueued>[]>>;
    getJob(query: {
      readonly namespace: string;
      readonly jobId: JobId;
      readonly withPayload: boolean;
    }): Promise<Result<{ readonly job: Job; readonly payload: Uint8Array | null }>>;
    listJobs(query: { readonly filter: JobFilter; readonly pageSize: number; readonly after: JobId | null }): Promise<JobPage>;
    listAttempts(query: ListAttempts): Promise<Result<AttemptPage>>;
    cancelJob(command: Reasoned): Promise<Result<Done<CancelOutcome>>>;
    updateJob(command: Operate & { readonly change: JobChange }): Promise<Result<Done<ChangeOutcome>>>;
    retryJob(command: Reasoned): Promise<Result<Done<ChangeOutcome>>>;
    resumeJob(command: Reasoned): Promise<Result<Done<ChangeOutcome>>>;
    requestAbandon(command: Reasoned): Promise<Result<Done<AbandonOutcome>>>;
    completeExternally(command: CompleteItem): Promise<Result<Done<ChangeOutcome>>>;
    cancelJobs(command: Bulk): Promise<Result<BulkPage<CancelOutcome>>>;
    /** Tells the number of each new life. */
    retryJobs(command: Bulk): Promise<Result<BulkPage<number>>>;
    /** Ends as they come, none as a sign of life; every job once. */
    awaitJobs(query: AwaitJobs, signal: AbortSignal, ending?: AbortSignal): AsyncGenerator<EndedJobs>;
    awaitTerminal(query: AwaitTerminal, signal: AbortSignal, ending?: AbortSignal): AsyncGenerator<Awaited>;
  };
  readonly workers: {
    claim(command: Claim, signal: AbortSignal): Promise<Claimed>;
    start(token: LeaseToken | null): Promise<Result<Job>>;
    heartbeat(beats: readonly Beat[]): Promise<readonly HeartbeatOutcome[]>;
    ack(command: Ack): Promise<Result<Acked>>;
    fail(command: Fail): Promise<Result<Failed>>;
    release(command: Release): Promise<Result<Released>>;
    suspend(command: Suspend): Promise<Result<Acked>>;
    settle(settlements: readonly Settlement[]): Promise<readonly Settled[]>;
    work(open: OpenWork, signal: AbortSignal, ending?: AbortSignal): Promise<WorkSession>;
  };
  readonly events: {
    subscribe(query: Subscribe, signal: AbortSignal, ending?: AbortSignal): AsyncGenerator<Delivery>;
    listEvents(query: ListEvents): Promise<Result<EventPage>>;
    awaitEvent(query: AwaitEvent, signal: AbortSignal, ending?: AbortSignal): AsyncGenerator<AwaitedEvent>;
    appendEvent(command: AppendEvent): Promise<Result<JobEvent>>;
  };
  readonly queues: {
    putQueue(item: PutItem): Promise<Result<QueueChange>>;
    getQueue(query: { readonly namespace: string; readonly queue: string }): Promise<Result<ConfiguredQueue>>;
    /** By name, ascending. */
    listQueues(query: {
      readonly namespace: string;
      readonly pageSize: number;
      readonly after: string;
    }): Promise<readonly ConfiguredQueue[]>;
    applyAction(item: ActionItem): Promise<Result<QueueChange>>;
    listAudit(query: ListAudit): Promise<AuditPage>;
    /** How far it is at once, then at changes, last with `drained`. */
    waitDrained(name: QueueName, signal: AbortSignal, ending?: AbortSignal): AsyncIterable<Drained>;
    getQueueStats(name: QueueName): Promise<Result<QueueStats>>;
    /** At once, then each interval. */
    watchQueueStats(query: WatchQueueStats, signal: AbortSignal, ending?: AbortSignal): AsyncIterable<QueueStats>;
    /** Of any type where none is named. */
    peekQueue(query: {
      readonly namespace: string;
      readonly queue: string;
      readonly pageSize: number;
      readonly types?: readonly string[];
    }): Promise<Result<readonly Job[]>>;
    checkInvariants(query: {
      readonly namespace: string;
      readonly pageSize: number;
      readonly after: string | null;
    }): Promise<InvariantPage>;
    verifyReplay(query: VerifyReplay): Promise<Result<VerifiedPage>>;
    listDeadLetters(query: ListDeadLetters): Promise<Result<DeadLetterPage>>;
    replayDeadLetters(command: ReplayDeadLetters): Promise<Result<ReplayedPage>>;
    getSignature(query: { readonly namespace: string; readonly queue: string }): Promise<Result<Signature>>;
    prune(item: PruneItem): Promise<Result<Pruned>>;
    runUpkeep(): Promise<UpkeepCounts>;
  };
  readonly scaler: {
    queueLoad(trigger: ScaleTrigger): Promise<Load>;
    /** Whether there is work: at once, then each time that changes. It ends without a reason, for its reader knows none. */
    streamIsActive(trigger: ScaleTrigger, signal: AbortSignal, ending?: AbortSignal): AsyncIterable<boolean>;
  };
  databaseTime(): Promise<Micros>;
  /** Answers parked polls, ends streams with their cursor, finishes commits. Everything asked later is answered or refused at once. */
  drain(): Promise<void>;
}
