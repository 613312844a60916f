/** The job: one unit of work in one queue of one namespace; immutable input, one moving state. */

/** A lowercase UUIDv7. */
export type JobId = string & { readonly __brand: 'JobId' };

const JOB_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function parseJobId(text: string): JobId | null {
  return JOB_ID.test(text) ? (text as JobId) : null;
}

/** The millisecond a UUIDv7 was minted at, by its minter's clock. */
export function jobIdTimeMs(jobId: JobId): number {
  return Number.parseInt(jobId.slice(0, 8) + jobId.slice(9, 13), 16);
}

export const JOB_STATES = [
  'SCHEDULED',
  'BLOCKED',
  'READY',
  'LEASED',
  'RUNNING',
  'RETRY_WAIT',
  'SUSPENDED',
  'SUCCEEDED',
  'FAILED',
  'CANCELLED',
  'ABANDONED',
] as const;

export type JobState = (typeof JOB_STATES)[number];

export const TERMINAL_STATES = ['SUCCEEDED', 'FAILED', 'CANCELLED', 'ABANDONED'] as const;

export type TerminalState = (typeof TERMINAL_STATES)[number];

export function isTerminal(state: JobState): state is TerminalState {
  return TERMINAL_STATES.some((terminal) => terminal === state);
}

/** Why an attempt failed, in the words of whoever says so. `code` decides retries, `message` and `details` are for people. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly details: Uint8Array;
  readonly kind: 'RETRYABLE' | 'TERMINAL';
}

/** Instants are whole microseconds since 1970, as Postgres keeps them: below 2^53 for every year a job can name. */
export type Micros = number;

/** What a reader sees of a job at one instant. */
export interface Job {
  readonly namespace: string;
  readonly queue: string;
  readonly jobId: JobId;
  readonly type: string;
  readonly state: JobState;
  readonly priority: number;
  readonly life: number;
  /** Spent tries of this life. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly fence: bigint;
  /** When a deferred job becomes ready; else the `run_at` it was enqueued with, if any. */
  readonly runAt: Micros | null;
  readonly createdAt: Micros;
  /** When the latest attempt started. */
  readonly startedAt: Micros | null;
  readonly finishedAt: Micros | null;
  readonly lastSequence: number;
  readonly contentType: string;
  readonly result: Uint8Array | null;
  readonly resultContentType: string;
  /** The latest failure of this life. */
  readonly failure: Failure | null;
  readonly idempotencyKey: string;
  /** Empty: none. */
  readonly concurrencyKey: string;
  readonly fairnessKey: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Holder of the lease, else of the latest attempt. */
  readonly workerId: string;
  readonly leaseExpiresAt: Micros | null;
  readonly disposition: Disposition;
  /** Null where nothing was asked in this life. */
  readonly asked: Asked | null;
}

/** What was asked of a job or said of it, in its present life, besides its course. */
export interface Asked {
  readonly cancelRequestedAt: Micros | null;
  /** When an asked-for cancellation is forced. */
  readonly cancelDeadline: Micros | null;
  readonly cancelReason: string;
  readonly abandonRequestedAt: Micros | null;
  /** Why it is SUSPENDED. */
  readonly suspendReason: string;
}

/** Who may end a job, and what a lost attempt means; with the code that each has in the database. */
export const DISPOSITION_CODES = { RERUNNABLE: 1, OWNER_BOUND: 2, EXTERNALLY_OWNED: 3 } as const;

export type Disposition = keyof typeof DISPOSITION_CODES;

/** In milliseconds; null: no such limit. */
export interface Timeouts {
  /** From each time the job becomes READY to its claim. */
  readonly scheduleToStartMs: number | null;
  /** From RUNNING to the settlement of one attempt. */
  readonly startToCloseMs: number | null;
  /** From the start of the life to its end. */
  readonly scheduleToCloseMs: number | null;
}

export const NO_TIMEOUTS: Timeouts = { scheduleToStartMs: null, startToCloseMs: null, scheduleToCloseMs: null };

/** A job as a producer hands it in: checked, complete, with nothing decided yet by the clock. */
export interface JobSpec {
  readonly queue: string;
  readonly type: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly jobId: JobId | null;
  readonly idempotency: Idempotency | null;
  readonly onDuplicate: 'RETURN_EXISTING' | 'REJECT';
  readonly priority: number;
  readonly runAt: Micros | null;
  readonly retry: RetryOverrides;
  readonly timeouts: Timeouts;
  readonly disposition: Disposition;
  /** Empty: none. */
  readonly concurrencyKey: string;
  /** Empty: none. Not part of the content. */
  readonly fairnessKey: string;
}

export interface Idempotency {
  readonly key: string;
  readonly scope: 'RETAINED' | 'UNTIL_TERMINAL';
  readonly ttlMs: number | null;
}

/** What a job sets of its retry policy; null comes from its queue, at the moment the policy is used. */
export interface RetryOverrides {
  readonly maxAttempts: number | null;
  readonly initialBackoffMs: number | null;
  readonly multiplier: number | null;
  readonly maxBackoffMs: number | null;
  readonly jitter: boolean | null;
  readonly nonRetryableCodes: readonly string[] | null;
}

/** Bytes a claim of this job puts on the wire, roughly: what the response bound counts. */
export function jobSizeBytes(spec: Pick<JobSpec, 'payload' | 'headers' | 'labels'>): number {
  const text = (map: Readonly<Record<string, string>>) => Object.entries(map).reduce((sum, [k, v]) => sum + k.length + v.length + 8, 0);
  return spec.payload.byteLength + 3 * (text(spec.headers) + text(spec.labels)) + 512;
}
