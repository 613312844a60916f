/** The words of the domain that several services read off the wire. Nobody else mints ids from a client's text. */
import { type Failure, type JobId, type JobState, parseJobId, type RetryOverrides } from '../domain/job.ts';
import { LIMITS } from '../domain/limits.ts';
import { JobState as WireJobState } from '../../gen/stint/v1/job.ts';
import { FailureKind, type Failure as WireFailure, type RetryPolicy as WireRetryPolicy } from '../../gen/stint/v1/retry.ts';
import type { Fields } from './fields.ts';

export function readNamespace(fields: Fields, namespace: string): string {
  return fields.nameOr('namespace', namespace, 'default');
}

/** Every int32. */
export const PRIORITY = { min: -(2 ** 31), max: 2 ** 31 - 1 };

/** Null where it is refused, also when empty. */
export function readJobId(fields: Fields, field: string, text: string): JobId | null {
  const jobId = parseJobId(text);
  if (jobId === null) fields.refuse(field, text === '' ? 'is required' : 'must be a lowercase UUIDv7');
  return jobId;
}

/** The `job_id` that a request is about. Without a sound one nothing else of the request can be judged. */
export function readRequiredJobId(fields: Fields, text: string): JobId {
  return readJobId(fields, 'job_id', text) ?? fields.giveUp();
}

export function readKey(fields: Fields, field: string, key: string): string {
  return fields.text(field, key, LIMITS.keyBytes);
}

export function readContentType(fields: Fields, field: string, contentType: string): string {
  return fields.text(field, contentType, LIMITS.contentTypeBytes);
}

const JOB_STATES: Readonly<Record<number, JobState>> = {
  [WireJobState.SCHEDULED]: 'SCHEDULED',
  [WireJobState.BLOCKED]: 'BLOCKED',
  [WireJobState.READY]: 'READY',
  [WireJobState.LEASED]: 'LEASED',
  [WireJobState.RUNNING]: 'RUNNING',
  [WireJobState.RETRY_WAIT]: 'RETRY_WAIT',
  [WireJobState.SUSPENDED]: 'SUSPENDED',
  [WireJobState.SUCCEEDED]: 'SUCCEEDED',
  [WireJobState.FAILED]: 'FAILED',
  [WireJobState.CANCELLED]: 'CANCELLED',
  [WireJobState.ABANDONED]: 'ABANDONED',
};

/** In any order, each once. */
export function readJobStates(fields: Fields, states: readonly WireJobState[]): JobState[] {
  const range = { min: 0, max: LIMITS.batchItems };
  return [...new Set(fields.list('states', states, range, (state, path) => fields.choice<JobState>(path, state, JOB_STATES, 'READY')))];
}

/** Codes under this are the service's own: a worker must not pass for it. */
const OWN_CODES = 'stint.';

const FAILURE_KINDS: Readonly<Record<number, Failure['kind']>> = {
  [FailureKind.UNSPECIFIED]: 'RETRYABLE',
  [FailureKind.RETRYABLE]: 'RETRYABLE',
  [FailureKind.TERMINAL]: 'TERMINAL',
};

/** A failure that was left out is one without a word. */
export function readFailure(parent: Fields, failure: WireFailure | undefined): Failure {
  if (failure === undefined) return { code: '', message: '', details: new Uint8Array(), kind: 'RETRYABLE' };
  const fields = parent.within('failure');
  if (failure.code.startsWith(OWN_CODES)) fields.refuse('code', `must not begin with ${OWN_CODES}`);
  return {
    code: fields.nameOr('code', failure.code, ''),
    message: fields.text('message', failure.message, LIMITS.failureMessageBytes),
    details: fields.bytes('details', Buffer.from(failure.details), LIMITS.failureDetailsBytes),
    kind: fields.choice('kind', failure.kind, FAILURE_KINDS, 'RETRYABLE'),
  };
}

const NOTHING_OVERRIDDEN: RetryOverrides = {
  maxAttempts: null,
  initialBackoffMs: null,
  multiplier: null,
  maxBackoffMs: null,
  jitter: null,
  nonRetryableCodes: null,
};

const DELAY_MS = { min: 0, max: LIMITS.delayMs };

export function readRetryPolicy(parent: Fields, policy: WireRetryPolicy | undefined): RetryOverrides {
  if (policy === undefined) return NOTHING_OVERRIDDEN;
  const fields = parent.within('retry');
  const { maxAttempts, multiplier, nonRetryableCodes } = policy;
  const initialBackoffMs = fields.durationMs('initial_backoff', policy.initialBackoff, DELAY_MS);
  const maxBackoffMs = fields.durationMs('max_backoff', policy.maxBackoff, DELAY_MS);
  if (initialBackoffMs !== null && maxBackoffMs !== null && initialBackoffMs > maxBackoffMs) {
    fields.refuse('initial_backoff', 'must not be more than max_backoff');
  }
  const codes = fields.list('non_retryable_codes', nonRetryableCodes, { min: 0, max: LIMITS.nonRetryableCodes }, (code, path) =>
    fields.name(path, code),
  );
  return {
    maxAttempts: maxAttempts === undefined ? null : fields.integer('max_attempts', maxAttempts, { min: 1, max: LIMITS.maxAttempts }),
    initialBackoffMs,
    multiplier: multiplier === undefined ? null : fields.double('multiplier', multiplier, { min: 1, max: LIMITS.backoffMultiplier }),
    maxBackoffMs,
    jitter: policy.jitter ?? null,
    // A list cannot be told unset from empty on the wire; an empty one takes the queue's.
    nonRetryableCodes: codes.length === 0 ? null : codes,
  };
}
