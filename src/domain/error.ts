import type { JobId, JobState } from './job.ts';

/** A field of a request that cannot be accepted. `field` is the path a client would write: `jobs[3].retry.max_backoff`. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** What the service says no to. Refusals are values; what is broken throws. */
export type Refusal =
  | { readonly kind: 'invalid_field'; readonly violations: readonly FieldViolation[] }
  | { readonly kind: 'unimplemented'; readonly what: string }
  | { readonly kind: 'job_not_found'; readonly jobId: string }
  | { readonly kind: 'queue_not_found'; readonly namespace: string; readonly queue: string }
  | { readonly kind: 'queue_draining'; readonly namespace: string; readonly queue: string }
  | {
      readonly kind: 'queue_saturated';
      readonly namespace: string;
      readonly queue: string;
      readonly depth: number;
      readonly limit: number;
      readonly retryAfterMs: number;
    }
  | { readonly kind: 'mode_mismatch'; readonly queues: readonly string[] }
  | { readonly kind: 'not_draining'; readonly queue: string; readonly status: string }
  | { readonly kind: 'duplicate_job'; readonly jobId: JobId | null }
  | { readonly kind: 'lease_lost' }
  | {
      readonly kind: 'invalid_transition';
      readonly jobId: JobId;
      readonly state: JobState;
      readonly action: string;
      /** Set where the job allows the action no more often than so many times. */
      readonly limit?: number;
    }
  | { readonly kind: 'cursor_expired'; readonly why: string; readonly oldestCursor: string }
  | { readonly kind: 'overloaded'; readonly what: string; readonly retryAfterMs: number }
  | { readonly kind: 'store_unavailable'; readonly retryAfterMs: number }
  | { readonly kind: 'shutting_down' }
  | { readonly kind: 'connection_age' };

/** An answer, or the reason why there is none. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

/** A refusal on its way up from where returning it would hide the happy path: the wire's edge turns it back into a value. */
export class RefusalError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.kind);
    this.name = 'RefusalError';
    this.refusal = refusal;
  }
}
