/**
 * What clients did and were told, as JSON lines. A call is two lines, one before it is sent and one when it ends: a process
 * that dies in between leaves a call whose outcome is unknown, and never one that nobody knows of.
 */

/** Milliseconds with a fraction by the monotonic clock of the machine, which all of its processes read alike. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export interface Asked<Op extends string> {
  readonly op: Op;
  /** Who called: the name of a process of the load. */
  readonly process: string;
  /** Where to: `host:port`. */
  readonly replica: string;
  readonly sentAtMs: number;
}

/** How a call ended. */
export type Ended<Told> =
  | { readonly outcome: 'ok'; readonly endedAtMs: number; readonly told: Told }
  /** With a documented refusal, which changed nothing. The reason is that of `ErrorInfo`. */
  | { readonly outcome: 'refused'; readonly endedAtMs: number; readonly reason: string }
  /** Nobody can tell whether it took effect. The time is when the caller stopped waiting; null if it died before. */
  | { readonly outcome: 'unknown'; readonly endedAtMs: number | null; readonly reason: string };

export interface EnqueueAsk extends Asked<'enqueue'> {
  /** Names the job to be, by a label: all tries of one job carry the same, and no two jobs do. */
  readonly mark: string;
  readonly queue: string;
  readonly priority: number;
  /** Minted by the client; null if the service is to do it. */
  readonly jobId: string | null;
  readonly key: string | null;
  /** The payload, which the mark alone does not settle: a conflicting enqueue has the id or key of another job. */
  readonly content: string;
  /** 0 is READY at once. */
  readonly delayMs: number;
}

export interface EnqueueTold {
  readonly jobId: string;
  readonly deduplicated: boolean;
}

export interface ClaimAsk extends Asked<'claim'> {
  readonly worker: string;
  readonly queues: readonly string[];
  readonly requestId: string;
  readonly maxJobs: number;
}

export interface ClaimTold {
  readonly jobs: readonly ClaimedRecord[];
}

export interface ClaimedRecord extends LeaseRecord {
  readonly attempt: number;
  readonly maxAttempts: number;
  /** From the sending of the claim. */
  readonly ttlMs: number;
}

/** Which lease; its token is as good as its fence. */
export interface LeaseRecord {
  readonly jobId: string;
  readonly fence: bigint;
}

export interface HeartbeatAsk extends Asked<'heartbeat'>, LeaseRecord {
  readonly worker: string;
}

export interface HeartbeatTold {
  /** From the sending of the heartbeat. */
  readonly ttlMs: number;
}

export const settlementOps = ['ack', 'fail', 'release'] as const;
export type SettlementOp = (typeof settlementOps)[number];

export interface SettleAsk extends Asked<SettlementOp>, LeaseRecord {
  readonly worker: string;
}

export interface SettleTold {
  readonly effect: 'APPLIED' | 'ALREADY_APPLIED' | 'NOT_HELD';
  /** Of the job, after it; empty with NOT_HELD. */
  readonly state: string;
}

export interface AwaitAsk extends Asked<'await'> {
  readonly jobId: string;
}

/** The job at the end of its life. */
export interface AwaitTold {
  readonly state: string;
  readonly life: number;
}

export type CallAsk = EnqueueAsk | ClaimAsk | HeartbeatAsk | SettleAsk | AwaitAsk;

export type EnqueueCall = EnqueueAsk & Ended<EnqueueTold>;
export type ClaimCall = ClaimAsk & Ended<ClaimTold>;
export type HeartbeatCall = HeartbeatAsk & Ended<HeartbeatTold>;
export type SettleCall = SettleAsk & Ended<SettleTold>;
export type AwaitCall = AwaitAsk & Ended<AwaitTold>;
export type CallLine = EnqueueCall | ClaimCall | HeartbeatCall | SettleCall | AwaitCall;

/** An event as a subscriber or `ListEvents` was given it. */
export interface EventRecord {
  readonly jobId: string;
  readonly sequence: number;
  readonly type: string;
  readonly life: number;
  readonly attempt: number;
  readonly fence: bigint;
  readonly state: string;
  readonly worker: string;
  /** Of `retry_scheduled` and `failed`; else empty. */
  readonly failureCode: string;
  /** All of its fields: the message's own bytes in base64. */
  readonly whole: string;
}

/** A subscription to everything of the namespace; each of its streams is one call. */
export interface StreamLine {
  readonly op: 'stream';
  readonly replica: string;
  readonly subscriber: string;
  /** From 1, in the order in which the subscriber opened them. */
  readonly stream: number;
  /** Whether it goes on from the cursor of the last message of the stream before; else it starts at the beginning. */
  readonly resumed: boolean;
}

/** One message of a stream. */
export interface EventsLine {
  readonly op: 'events';
  readonly subscriber: string;
  readonly stream: number;
  readonly events: readonly EventRecord[];
}

/** A stream of `Work` that its client cut. */
export interface CutLine {
  readonly op: 'cut';
  readonly process: string;
  readonly way: string;
  /** So many messages had passed, in both directions. */
  readonly after: number;
}

/** A status that no client may see, whatever fails. */
export interface UnexpectedLine {
  readonly op: 'unexpected';
  readonly process: string;
  readonly replica: string;
  readonly rpc: string;
  readonly code: string;
  readonly message: string;
}

/** A job as `ListJobs` told it after all was healed. */
export interface FinalJobLine {
  readonly op: 'final_job';
  readonly jobId: string;
  readonly mark: string;
  readonly queue: string;
  readonly priority: number;
  readonly key: string | null;
  readonly state: string;
  readonly life: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly fence: bigint;
  readonly lastSequence: number;
}

/** All that `ListEvents` told of a job after all was healed. */
export interface FinalEventsLine {
  readonly op: 'final_events';
  readonly jobId: string;
  readonly events: readonly EventRecord[];
}

/** What `CheckInvariants` found after all was healed. */
export interface FinalViolationLine {
  readonly op: 'final_violation';
  readonly jobId: string;
  readonly invariant: string;
  readonly detail: string;
}

/** Written last: without it the final lines may be a part. */
export interface FinalEndLine {
  readonly op: 'final_end';
  readonly jobs: number;
  /** Those that ran to the end, and so must have been given every event. */
  readonly subscribers: readonly string[];
}

export type FinalLine = FinalJobLine | FinalEventsLine | FinalViolationLine | FinalEndLine;

export type FactLine = StreamLine | EventsLine | CutLine | UnexpectedLine | FinalLine;

/** A line of a history: a call with its end, or a fact. */
export type HistoryLine = CallLine | FactLine;
