/** What a worker says of the jobs it holds, and what it is answered. */
import type { Refusal } from '../../domain/error.ts';
import type { Failure, Job, Micros } from '../../domain/job.ts';
import type { LeaseToken } from '../../domain/lease.ts';
import type { Progress } from '../../domain/progress.ts';
import type { FailDecision } from '../ports/repository.ts';

/** A null token is one this service cannot have written: a lost lease. */
export interface Ack {
  readonly token: LeaseToken | null;
  readonly result: Uint8Array;
  readonly contentType: string;
}

export interface Fail {
  readonly token: LeaseToken | null;
  readonly failure: Failure;
  readonly retryAfterMs: number | null;
  /** Until then its concurrency key is paused, and it is not tried again. */
  readonly throttleUntil?: Micros | null;
}

export interface Release {
  readonly token: LeaseToken | null;
  readonly delayMs: number;
}

export interface Suspend {
  readonly token: LeaseToken | null;
  readonly checkpoint: Uint8Array | null;
  readonly reason: string;
}

export interface Beat {
  readonly token: LeaseToken | null;
  readonly checkpoint: Uint8Array | null;
  /** Default: nothing to tell. */
  readonly progress?: Progress | null;
}

export interface Acked {
  readonly job: Job;
  readonly outcome: 'APPLIED' | 'ALREADY_APPLIED';
}

export interface Failed extends Acked {
  readonly decision: FailDecision;
}

export interface Released {
  /** Null with NOT_HELD. */
  readonly job: Job | null;
  readonly outcome: 'APPLIED' | 'ALREADY_APPLIED' | 'NOT_HELD';
}

export type Settlement =
  | ({ readonly kind: 'ack' } & Ack)
  | ({ readonly kind: 'fail' } & Fail)
  | ({ readonly kind: 'release' } & Release)
  | ({ readonly kind: 'suspend' } & Suspend)
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export type Settled =
  | ({ readonly kind: 'ack' } & Acked)
  | ({ readonly kind: 'fail' } & Failed)
  | ({ readonly kind: 'release' } & Released)
  | ({ readonly kind: 'suspend' } & Acked)
  | { readonly kind: 'refused'; readonly refusal: Refusal };
