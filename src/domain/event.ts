import type { Failure, JobId, JobState, Micros } from './job.ts';

/** Built-in event types and the code each has in the database. A code, once written, keeps its meaning. */
export const EVENT_CODES = {
  enqueued: 1,
  ready: 2,
  claimed: 3,
  started: 4,
  released: 5,
  retry_scheduled: 6,
  suspended: 7,
  resumed: 8,
  cancel_requested: 9,
  abandon_requested: 10,
  succeeded: 11,
  failed: 12,
  cancelled: 13,
  abandoned: 14,
  retried: 15,
  updated: 16,
} as const;

export type BuiltInEventType = keyof typeof EVENT_CODES;

/** A claim that starts at once writes one journal entry for its two events: `claimed` at seq, `started` at seq + 1. */
export const CLAIMED_AND_STARTED_CODE = 100;

/** A custom event: its type is told by its detail. */
export const CUSTOM_CODE = 101;

/** What an event may be called; the built-in names have this form too. */
export const EVENT_TYPE = /^[A-Za-z0-9_.-]{1,64}$/;

/** Types under it are kept for the service. */
export const RESERVED_EVENT_TYPES = 'stint.';

/** Whether a text of the form of a type is none that a custom event may have. */
export function isReservedEventType(type: string): boolean {
  return Object.hasOwn(EVENT_CODES, type) || type.startsWith(RESERVED_EVENT_TYPES);
}

/** What an event tells besides its envelope; one shape for each type that has something to tell. */
export type EventDetail =
  /** `blocked` here and below: it has to wait for a slot of its concurrency key. */
  | {
      readonly type: 'enqueued';
      readonly jobType: string;
      readonly priority: number;
      readonly runAt: Micros | null;
      readonly blocked?: true;
    }
  | { readonly type: 'released'; readonly runAt: Micros | null; readonly blocked?: true }
  | { readonly type: 'retry_scheduled'; readonly failure: Failure; readonly retryAt: Micros; readonly nextAttempt: number }
  | { readonly type: 'suspended'; readonly reason: string }
  | { readonly type: 'resumed' | 'retried'; readonly reason: string; readonly blocked?: true }
  | {
      readonly type: 'cancel_requested';
      readonly reason: string;
      readonly cancelDeadline: Micros;
      readonly state: HeldState;
    }
  | { readonly type: 'abandon_requested'; readonly reason: string; readonly state: HeldState }
  | { readonly type: 'updated'; readonly change: JobChange; readonly state: JobState }
  | { readonly type: 'succeeded'; readonly evidence: Evidence | null }
  | { readonly type: 'failed'; readonly failure: Failure; readonly deadLettered: boolean; readonly evidence: Evidence | null }
  | { readonly type: 'cancelled'; readonly reason: string; readonly evidence: Evidence | null }
  | { readonly type: 'abandoned'; readonly reason: string; readonly failure: Failure }
  | { readonly type: 'ready'; readonly blocked?: true }
  | CustomDetail
  | { readonly type: 'claimed' | 'started' };

export type HeldState = 'LEASED' | 'RUNNING';

/** A fact that others than the service tell. It moves nothing: `state` is what the job was, and is. */
export interface CustomDetail {
  readonly type: 'custom';
  readonly customType: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly state: JobState;
}

/** What an update changed; what it left is undefined. */
export interface JobChange {
  readonly priority?: number;
  /** Null: at once. */
  readonly runAt?: Micros | null;
}

/** Who says that an externally owned job ended, and by what it can be shown. */
export interface Evidence {
  readonly authority: string;
  readonly data: Uint8Array;
  readonly contentType: string;
}

/** An immutable fact about a job, committed with the change that made it true. */
export interface JobEvent {
  readonly namespace: string;
  readonly queue: string;
  readonly jobId: JobId;
  /** 1..n for each job, without gaps. */
  readonly sequence: number;
  readonly occurredAt: Micros;
  readonly life: number;
  readonly attempt: number;
  readonly fence: bigint;
  /** The job's state once this event is true. */
  readonly state: JobState;
  readonly workerId: string;
  readonly detail: EventDetail;
}

/** What its readers know the event by. */
export function eventType({ detail }: Pick<JobEvent, 'detail'>): string {
  return detail.type === 'custom' ? detail.customType : detail.type;
}

/** What an event takes besides what its failure says: names, ids, numbers. */
const ENVELOPE_BYTES = 512;

/** About what an event takes, in memory as in a message. Three bytes a character, as UTF-8 has at most for a unit of UTF-16. */
export function eventBytes({ detail }: JobEvent): number {
  const failure = 'failure' in detail ? detail.failure.message.length * 3 + detail.failure.details.byteLength : 0;
  const reason = 'reason' in detail ? detail.reason.length * 3 : 0;
  const evidence = 'evidence' in detail && detail.evidence !== null ? detail.evidence.data.byteLength + ENVELOPE_BYTES : 0;
  const data = detail.type === 'custom' ? detail.data.byteLength : 0;
  return ENVELOPE_BYTES + failure + reason + evidence + data;
}

/** The state an event leaves its job in. */
export function stateAfter(detail: EventDetail): JobState {
  switch (detail.type) {
    case 'enqueued':
      return detail.runAt !== null ? 'SCHEDULED' : detail.blocked === true ? 'BLOCKED' : 'READY';
    case 'released':
      return detail.runAt !== null ? 'SCHEDULED' : detail.blocked === true ? 'BLOCKED' : 'READY';
    case 'ready':
    case 'resumed':
    case 'retried':
      return detail.blocked === true ? 'BLOCKED' : 'READY';
    case 'suspended':
      return 'SUSPENDED';
    case 'cancel_requested':
    case 'abandon_requested':
    case 'updated':
    case 'custom':
      return detail.state;
    case 'claimed':
      return 'LEASED';
    case 'started':
      return 'RUNNING';
    case 'retry_scheduled':
      return 'RETRY_WAIT';
    case 'succeeded':
      return 'SUCCEEDED';
    case 'failed':
      return 'FAILED';
    case 'cancelled':
      return 'CANCELLED';
    case 'abandoned':
      return 'ABANDONED';
  }
}
