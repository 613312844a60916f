// toWellFormed(): in every Node we support, but not in the library of our compile target.
/// <reference lib="es2024.string" />
/** The one place that knows gRPC codes: what each refusal is on the wire. */
import { Metadata, status, type StatusObject } from '@grpc/grpc-js';
import { type FieldViolation, type Refusal, RefusalError } from '../domain/error.ts';
import { StoreError } from '../engine/ports/store-error.ts';
import type { Any } from '../../gen/google/protobuf/any.ts';
import { BadRequest, ErrorInfo, PreconditionFailure, QuotaFailure, RetryInfo } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';
import type { ErrorReason } from '../../gen/stint/v1/error_reason.ts';
import { duration } from './encode.ts';

/**
 * Bytes of field violations that one refusal tells. Clients refuse header blocks past 8 KiB by default in some languages,
 * and a binary trailer grows by a third in base64.
 */
const CALL_VIOLATION_BYTES = 3 * 1024;
/** Less within a batch, where a thousand of them share one answer. */
const ITEM_VIOLATION_BYTES = 1024;
/** Longest piece of a client's own words that is told back in an error. */
const ECHO_LENGTH = 200;
const MAX_MESSAGE_LENGTH = 500;

const SHUTDOWN_RETRY_MS = 1_000;

interface Answer {
  readonly code: status;
  readonly reason: keyof typeof ErrorReason;
}

const ANSWERS = {
  invalid_field: { code: status.INVALID_ARGUMENT, reason: 'INVALID_FIELD' },
  unimplemented: { code: status.UNIMPLEMENTED, reason: 'UNIMPLEMENTED' },
  job_not_found: { code: status.NOT_FOUND, reason: 'JOB_NOT_FOUND' },
  queue_not_found: { code: status.NOT_FOUND, reason: 'QUEUE_NOT_FOUND' },
  queue_draining: { code: status.FAILED_PRECONDITION, reason: 'QUEUE_DRAINING' },
  queue_saturated: { code: status.RESOURCE_EXHAUSTED, reason: 'QUEUE_SATURATED' },
  mode_mismatch: { code: status.FAILED_PRECONDITION, reason: 'MODE_MISMATCH' },
  not_draining: { code: status.FAILED_PRECONDITION, reason: 'INVALID_TRANSITION' },
  duplicate_job: { code: status.ALREADY_EXISTS, reason: 'DUPLICATE_JOB' },
  lease_lost: { code: status.FAILED_PRECONDITION, reason: 'LEASE_LOST' },
  invalid_transition: { code: status.FAILED_PRECONDITION, reason: 'INVALID_TRANSITION' },
  cursor_expired: { code: status.OUT_OF_RANGE, reason: 'CURSOR_EXPIRED' },
  overloaded: { code: status.RESOURCE_EXHAUSTED, reason: 'OVERLOADED' },
  store_unavailable: { code: status.UNAVAILABLE, reason: 'STORE_UNAVAILABLE' },
  shutting_down: { code: status.UNAVAILABLE, reason: 'SHUTTING_DOWN' },
  connection_age: { code: status.UNAVAILABLE, reason: 'CONNECTION_AGE' },
} as const satisfies Record<Refusal['kind'], Answer>;

/** What a refusal says besides its code and reason. */
interface Account {
  readonly message: string;
  readonly metadata?: Record<string, string>;
  readonly details?: readonly Any[];
}

function account(refusal: Refusal, violationBytes: number): Account {
  switch (refusal.kind) {
    case 'invalid_field':
      return { message: summary(refusal.violations), details: [badRequest(refusal.violations, violationBytes)] };
    case 'unimplemented':
      return { message: `${refusal.what} is not served by this version`, metadata: { what: refusal.what } };
    case 'job_not_found':
      return { message: `there is no job ${echo(refusal.jobId)} in this namespace`, metadata: { job_id: refusal.jobId } };
    case 'queue_not_found':
      return {
        message: `there is no queue ${echo(refusal.queue)} in this namespace`,
        metadata: { namespace: refusal.namespace, queue: refusal.queue },
      };
    case 'queue_draining':
    case 'queue_saturated':
    case 'mode_mismatch':
    case 'not_draining':
      return queueAccount(refusal);
    case 'duplicate_job':
      return {
        message: 'the id or key is taken by another job',
        metadata: refusal.jobId === null ? {} : { job_id: refusal.jobId },
      };
    case 'lease_lost':
      return { message: 'the lease is not held: stop working on this job', details: [precondition('LEASE_LOST', 'lease', 'not held')] };
    case 'invalid_transition': {
      const { jobId, state, action, limit } = refusal;
      const description =
        limit === undefined ? `a job that is ${state} does not allow ${action}` : `a job allows ${action} at most ${limit} times`;
      return {
        message: description,
        metadata: { job_id: jobId, state, action, ...(limit === undefined ? {} : { limit: String(limit) }) },
        details: [precondition('INVALID_TRANSITION', `jobs/${jobId}`, description)],
      };
    }
    case 'cursor_expired':
      return { message: `the cursor cannot be followed: ${refusal.why}`, metadata: { oldest_cursor: refusal.oldestCursor } };
    case 'overloaded':
      return {
        message: `${refusal.what}: this replica holds as much as it accepts`,
        details: [retryIn(refusal.retryAfterMs), quotaFailure(refusal.what)],
      };
    case 'store_unavailable':
      return { message: 'the database is not available', details: [retryIn(refusal.retryAfterMs)] };
    case 'shutting_down':
      return { message: 'this replica is shutting down', details: [retryIn(SHUTDOWN_RETRY_MS)] };
    case 'connection_age':
      return { message: 'this connection has reached its age: ask again, on another', details: [retryIn(0)] };
  }
}

/** What a queue refuses because of how it is configured, or what an operator has it do. */
function queueAccount(
  refusal: Extract<Refusal, { readonly kind: 'queue_draining' | 'queue_saturated' | 'mode_mismatch' | 'not_draining' }>,
): Account {
  switch (refusal.kind) {
    case 'queue_draining': {
      const message = `queue ${refusal.queue} is draining: it takes no new jobs`;
      return { message, metadata: queueMetadata(refusal), details: [precondition('QUEUE_DRAINING', `queues/${refusal.queue}`, message)] };
    }
    case 'queue_saturated': {
      const { queue, depth, limit, retryAfterMs } = refusal;
      return {
        message: `queue ${queue} is full: ${depth} jobs wait, and ${limit} may`,
        metadata: { ...queueMetadata(refusal), depth: String(depth), limit: String(limit) },
        details: [retryIn(retryAfterMs), quotaFailure(`queues/${queue}`)],
      };
    }
    case 'mode_mismatch': {
      const message = 'none of the named queues answers this way of fetching';
      const queues = refusal.queues.join(',');
      return { message, metadata: { queues }, details: [precondition('MODE_MISMATCH', `queues/${echo(queues)}`, message)] };
    }
    case 'not_draining': {
      const message = `queue ${refusal.queue} does not drain: it is ${refusal.status}`;
      return {
        message,
        metadata: { queue: refusal.queue, state: refusal.status, action: 'wait_drained' },
        details: [precondition('INVALID_TRANSITION', `queues/${refusal.queue}`, message)],
      };
    }
  }
}

function queueMetadata({ namespace, queue }: { readonly namespace: string; readonly queue: string }): Record<string, string> {
  return { namespace, queue };
}

/** A refusal as an item of a batch tells it. */
export function refusalStatus(refusal: Refusal): Status {
  return statusOf(refusal, ITEM_VIOLATION_BYTES);
}

/** A thrown refusal, as a part of an answer tells it. Throws again what nobody foresaw. */
export function foreseenStatus(error: unknown): Status {
  const refusal = refusalIn(error);
  if (refusal === null) throw error;
  return refusalStatus(refusal);
}

function statusOf(refusal: Refusal, violationBytes: number): Status {
  const { message, metadata, details } = account(refusal, violationBytes);
  const { code, reason } = ANSWERS[refusal.kind];
  return { code, message: message.slice(0, MAX_MESSAGE_LENGTH).toWellFormed(), details: [errorInfo(reason, metadata), ...(details ?? [])] };
}

/** How long a client that met a stumbling database should wait. */
const STORE_RETRY_MS = 500;

/** What a thrown value refuses; null for what nobody foresaw. */
function refusalIn(error: unknown): Refusal | null {
  if (error instanceof RefusalError) return error.refusal;
  if (!(error instanceof StoreError)) return null;
  switch (error.kind) {
    case 'unavailable':
    case 'conflict':
    case 'contended':
    case 'other_history':
      return { kind: 'store_unavailable', retryAfterMs: STORE_RETRY_MS };
    case 'bad_item':
    case 'broken':
      return null;
  }
}

const UNFORESEEN: Status = {
  code: status.INTERNAL,
  message: 'something went wrong inside the service',
  details: [errorInfo('INTERNAL')],
};

/** Trailing metadata that tells those who watch the call, and not the client, why it failed. */
export class FailureTrailer extends Metadata {
  readonly reason: keyof typeof ErrorReason;
  /** What nobody foresaw; null where the failure is a refusal. */
  readonly cause: unknown;

  constructor(rpcStatus: Status, reason: keyof typeof ErrorReason, cause: unknown) {
    super();
    this.reason = reason;
    this.cause = cause;
    this.set('grpc-status-details-bin', Buffer.from(Status.encode(rpcStatus).finish()));
  }
}

/** The end of a call that threw. `report` hears of what nobody foresaw; the client learns nothing of it. */
export function errorResponse(error: unknown, report: (cause: unknown) => void): Partial<StatusObject> {
  const refusal = refusalIn(error);
  if (refusal !== null) {
    const { code, reason } = ANSWERS[refusal.kind];
    const told = statusOf(refusal, CALL_VIOLATION_BYTES);
    return { code, details: told.message, metadata: new FailureTrailer(told, reason, null) };
  }
  report(error);
  return { code: status.INTERNAL, details: UNFORESEEN.message, metadata: new FailureTrailer(UNFORESEEN, 'INTERNAL', error) };
}

function summary([first, ...rest]: readonly FieldViolation[]): string {
  if (first === undefined) return 'the request is not valid';
  return `${first.field}: ${first.description}${rest.length === 0 ? '' : `, and ${rest.length} more`}`;
}

function errorInfo(reason: Answer['reason'], metadata: Record<string, string> = {}): Any {
  const echoed = Object.fromEntries(Object.entries(metadata).map(([key, value]): [string, string] => [key, echo(value)]));
  const info: ErrorInfo = { reason, domain: 'stint', metadata: echoed };
  return pack('google.rpc.ErrorInfo', ErrorInfo.encode(info).finish());
}

/** As many violations as fit, but one at least. */
function badRequest(violations: readonly FieldViolation[], maxBytes: number): Any {
  const message: BadRequest = { fieldViolations: [] };
  let bytes = 0;
  for (const { field, description } of violations) {
    bytes += Buffer.byteLength(field) + Buffer.byteLength(description) + 8;
    if (bytes > maxBytes && message.fieldViolations.length > 0) break;
    message.fieldViolations.push({ field: echo(field), description: echo(description), reason: '', localizedMessage: undefined });
  }
  return pack('google.rpc.BadRequest', BadRequest.encode(message).finish());
}

function retryIn(delayMs: number): Any {
  return pack('google.rpc.RetryInfo', RetryInfo.encode({ retryDelay: duration(delayMs) }).finish());
}

function precondition(type: string, subject: string, description: string): Any {
  return pack('google.rpc.PreconditionFailure', PreconditionFailure.encode({ violations: [{ type, subject, description }] }).finish());
}

function quotaFailure(subject: string): Any {
  return pack('google.rpc.QuotaFailure', QuotaFailure.encode(QuotaFailure.fromPartial({ violations: [{ subject }] })).finish());
}

function pack(name: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/${name}`, value: Buffer.from(value) };
}

function echo(text: string): string {
  return text.slice(0, ECHO_LENGTH).toWellFormed();
}
