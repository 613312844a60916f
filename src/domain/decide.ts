/**
 * What a command does to a job: the meaning of the statements in `repository/`, which are its fast copy over whole batches.
 * A model-based test runs both side by side and holds them equal.
 */
import type { EventDetail } from './event.ts';
import type { Failure, Micros } from './job.ts';
import { isLive, nextFence, RELEASE_LIMIT } from './lease.ts';
import { LIMITS } from './limits.ts';
import { mayRetry, retryDelayMs, type RetryPolicy } from './retry.ts';

interface Moving {
  readonly life: number;
  /** Spent tries of this life. */
  readonly attempt: number;
  readonly fence: bigint;
  readonly sequence: number;
  readonly releases: number;
  readonly policy: RetryPolicy;
  readonly deadLetterEnabled: boolean;
}

export interface HeldLease {
  readonly expiresAt: Micros;
  readonly graceMs: number;
  readonly durationMs: number;
}

/** A job where its token lies: only a held one has a lease, only a deferred one is due. */
export type TokenState =
  | (Moving & { readonly state: 'READY' })
  | (Moving & { readonly state: 'SCHEDULED' | 'RETRY_WAIT'; readonly dueAt: Micros })
  | (Moving & { readonly state: 'LEASED' | 'RUNNING'; readonly lease: HeldLease })
  | (Moving & { readonly state: 'SUCCEEDED' | 'FAILED' });

/** `fence` stands for the lease token: it names the very attempt that the holder means. */
export type Command =
  | { readonly action: 'promote' }
  | { readonly action: 'claim'; readonly epoch: number; readonly durationMs: number; readonly graceMs: number; readonly start: boolean }
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
  | { readonly action: 'expire'; readonly failure: Failure; readonly jitterFactor: number };

export type Decision =
  | { readonly kind: 'applied'; readonly job: TokenState; readonly events: readonly EventDetail[] }
  | { readonly kind: 'refused'; readonly why: 'lease_lost' | 'not_started' | 'not_due' | 'not_ready' };

/** A job as it comes into being: its first event is told. */
export function begin(told: {
  readonly policy: RetryPolicy;
  readonly deadLetterEnabled: boolean;
  readonly runAt: Micros | null;
  readonly now: Micros;
}): TokenState {
  const { policy, deadLetterEnabled, runAt, now } = told;
  const moving = { life: 1, attempt: 0, fence: 0n, sequence: 1, releases: 0, policy, deadLetterEnabled };
  return runAt !== null && runAt > now ? { ...moving, state: 'SCHEDULED', dueAt: runAt } : { ...moving, state: 'READY' };
}

export function decide(job: TokenState, command: Command, now: Micros): Decision {
  switch (command.action) {
    case 'promote':
      if (!('dueAt' in job) || job.dueAt > now) return { kind: 'refused', why: 'not_due' };
      return applied({ ...moved(job, 1), state: 'READY' }, [{ type: 'ready' }]);
    case 'claim':
      return claim(job, command, now);
    case 'expire':
      if (!('lease' in job) || isLive(job.lease, now)) return { kind: 'refused', why: 'not_due' };
      return endByFailure(job, { ...command, retryAfterMs: null }, now);
    case 'start':
    case 'heartbeat':
    case 'ack':
    case 'fail':
    case 'release':
      if (!('lease' in job) || job.fence !== command.fence || !isLive(job.lease, now)) return { kind: 'refused', why: 'lease_lost' };
      return decideHeld(job, command, now);
  }
}

type Held = Extract<TokenState, { readonly lease: HeldLease }>;
type HolderCommand = Extract<Command, { readonly fence: bigint }>;

function claim(job: TokenState, command: Extract<Command, { readonly action: 'claim' }>, now: Micros): Decision {
  if (job.state !== 'READY') return { kind: 'refused', why: 'not_ready' };
  const { durationMs, graceMs, start, epoch } = command;
  const lease = { durationMs, graceMs, expiresAt: now + durationMs * 1_000 };
  // Counted at claim, not at failure: a worker that dies must still spend an attempt, or a poison job would loop for ever.
  const held = { ...moved(job, start ? 2 : 1), attempt: job.attempt + 1, fence: nextFence(job.fence, epoch), lease };
  if (!start) return applied({ ...held, state: 'LEASED' }, [{ type: 'claimed' }]);
  return applied({ ...held, state: 'RUNNING' }, [{ type: 'claimed' }, { type: 'started' }]);
}

function decideHeld(job: Held, command: HolderCommand, now: Micros): Decision {
  switch (command.action) {
    case 'start':
      if (job.state === 'RUNNING') return applied(job, []);
      return applied({ ...moved(job, 1), lease: job.lease, state: 'RUNNING' }, [{ type: 'started' }]);
    case 'heartbeat':
      return applied({ ...job, lease: { ...job.lease, expiresAt: now + job.lease.durationMs * 1_000 } }, []);
    case 'ack':
      if (job.state === 'LEASED') return { kind: 'refused', why: 'not_started' };
      return applied({ ...moved(job, 1), state: 'SUCCEEDED' }, [{ type: 'succeeded' }]);
    case 'fail':
      if (job.state === 'LEASED') return { kind: 'refused', why: 'not_started' };
      return endByFailure(job, command, now);
    case 'release':
      return release(job, command.delayMs, now);
  }
}

interface FailureTold {
  readonly failure: Failure;
  readonly retryAfterMs: number | null;
  readonly jitterFactor: number;
}

function endByFailure(job: Held, { failure, retryAfterMs, jitterFactor }: FailureTold, now: Micros): Decision {
  if (!mayRetry(job.policy, job.attempt, failure)) {
    return applied({ ...moved(job, 1), state: 'FAILED' }, [{ type: 'failed', failure, deadLettered: job.deadLetterEnabled }]);
  }
  const delayMs = retryAfterMs ?? retryDelayMs(job.policy, job.attempt, jitterFactor);
  const dueAt = now + Math.round(delayMs * 1_000);
  const event: EventDetail = { type: 'retry_scheduled', failure, retryAt: dueAt, nextAttempt: job.attempt + 1 };
  return applied({ ...moved(job, 1), state: 'RETRY_WAIT', dueAt }, [event]);
}

function release(job: Held, delayMs: number, now: Micros): Decision {
  const refunded = job.releases < LIMITS.releasesPerLife;
  if (!refunded && job.attempt >= job.policy.maxAttempts) {
    const failed: EventDetail = { type: 'failed', failure: RELEASE_LIMIT, deadLettered: job.deadLetterEnabled };
    return applied({ ...moved(job, 1), state: 'FAILED' }, [failed]);
  }
  const left = { ...moved(job, 1), attempt: refunded ? job.attempt - 1 : job.attempt, releases: job.releases + 1 };
  if (delayMs === 0) return applied({ ...left, state: 'READY' }, [{ type: 'released', runAt: null }]);
  const dueAt = now + delayMs * 1_000;
  return applied({ ...left, state: 'SCHEDULED', dueAt }, [{ type: 'released', runAt: dueAt }]);
}

/** What every state has, with so many events told. */
function moved({ life, attempt, fence, sequence, releases, policy, deadLetterEnabled }: Moving, events: number): Moving {
  return { life, attempt, fence, sequence: sequence + events, releases, policy, deadLetterEnabled };
}

function applied(job: TokenState, events: readonly EventDetail[]): Decision {
  return { kind: 'applied', job, events };
}
