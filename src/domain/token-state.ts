/** Where a job stands, as the pure rules see it. */
import type { CustomDetail, EventDetail, Evidence, JobChange } from './event.ts';
import type { Disposition, Failure, JobState, Micros, TerminalState, Timeouts } from './job.ts';
import type { LeaseBounds } from './lease.ts';
import type { RetryPolicy } from './retry.ts';

/** What every state has. */
export interface Moving {
  readonly life: number;
  /** Spent tries of this life. */
  readonly attempt: number;
  readonly fence: bigint;
  readonly sequence: number;
  readonly releases: number;
  /** When the life must have ended (schedule_to_close). */
  readonly lifeUntil: Micros | null;
  /** A try of this life was started. */
  readonly wasStarted: boolean;
  /** What a request to abandon said, in this life. */
  readonly abandonReason: string | null;
  readonly rules: Rules;
}

/** What never moves. */
export interface Rules {
  readonly policy: RetryPolicy;
  readonly deadLetterEnabled: boolean;
  readonly cancellationBudgetMs: number;
  readonly timeouts: Timeouts;
  readonly disposition: Disposition;
}

export interface HeldLease extends LeaseBounds {
  readonly durationMs: number;
  readonly cancelReason: string;
}

/** A job where its token lies: only a held one has a lease, only a deferred one is due. */
export type TokenState =
  | (Moving & { readonly state: 'READY'; readonly giveUpAt: Micros | null })
  | (Moving & { readonly state: 'SCHEDULED' | 'RETRY_WAIT'; readonly dueAt: Micros })
  | Held
  | (Moving & { readonly state: 'SUSPENDED' })
  | (Moving & { readonly state: TerminalState });

export type Held = Moving & { readonly state: 'LEASED' | 'RUNNING'; readonly lease: HeldLease };

/** `fence` stands for the lease token: it names the very attempt that the holder means. */
export type HolderCommand =
  | { readonly action: 'start'; readonly fence: bigint }
  | { readonly action: 'heartbeat'; readonly fence: bigint }
  | { readonly action: 'ack'; readonly fence: bigint }
  | {
      readonly action: 'fail';
      readonly fence: bigint;
      readonly failure: Failure;
      readonly retryAfterMs: number | null;
      readonly jitterFactor: number;
    }
  | { readonly action: 'release'; readonly fence: bigint; readonly delayMs: number }
  | { readonly action: 'suspend'; readonly fence: bigint; readonly reason: string };

/** What others do to a job. */
export type OperatorCommand =
  | { readonly action: 'cancel'; readonly reason: string }
  | { readonly action: 'update'; readonly change: JobChange }
  | { readonly action: 'retry'; readonly reason: string }
  | { readonly action: 'resume'; readonly reason: string }
  | { readonly action: 'request_abandon'; readonly reason: string }
  | {
      readonly action: 'complete_externally';
      readonly evidence: Evidence;
      readonly end:
        | { readonly state: 'SUCCEEDED' }
        | { readonly state: 'FAILED'; readonly failure: Failure }
        | { readonly state: 'CANCELLED'; readonly reason: string };
    };

export type Command =
  | { readonly action: 'promote' }
  | { readonly action: 'claim'; readonly epoch: number; readonly durationMs: number; readonly graceMs: number; readonly start: boolean }
  /** Its lease has ended, or the job has waited too long. */
  | { readonly action: 'expire'; readonly jitterFactor: number }
  | { readonly action: 'time_out' }
  /** With a `fence` its holder tells it. */
  | { readonly action: 'append_event'; readonly fence: bigint | null; readonly told: Omit<CustomDetail, 'type' | 'state'> }
  | HolderCommand
  | OperatorCommand;

export type Decision =
  | { readonly kind: 'applied'; readonly job: TokenState; readonly events: readonly EventDetail[] }
  | { readonly kind: 'refused'; readonly why: 'lease_lost' | 'not_started' | 'not_due' | 'not_ready' | 'invalid_transition' };

export function applied(job: TokenState, ...events: readonly EventDetail[]): Decision {
  return { kind: 'applied', job, events };
}

export const INVALID: Decision = { kind: 'refused', why: 'invalid_transition' };

/** What every state has, with so many events told. */
export function moved(job: Moving, events: number): Moving {
  const { life, attempt, fence, sequence, releases, lifeUntil, wasStarted, abandonReason, rules } = job;
  return { life, attempt, fence, sequence: sequence + events, releases, lifeUntil, wasStarted, abandonReason, rules };
}

/** READY from this instant on: how long it may wait for a claim begins anew. */
export function ready(job: Moving, now: Micros): TokenState {
  const { scheduleToStartMs } = job.rules.timeouts;
  const bounds = [job.lifeUntil, scheduleToStartMs === null ? null : now + scheduleToStartMs * 1_000].filter((bound) => bound !== null);
  return { ...moved(job, 0), state: 'READY', giveUpAt: bounds.length === 0 ? null : Math.min(...bounds) };
}

export function isWaiting(state: JobState): boolean {
  return state === 'SCHEDULED' || state === 'READY' || state === 'RETRY_WAIT' || state === 'SUSPENDED';
}

export function failed({ rules }: Moving, failure: Failure, evidence: Evidence | null = null): EventDetail {
  return { type: 'failed', failure, deadLettered: rules.deadLetterEnabled, evidence };
}
