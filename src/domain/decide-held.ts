/** What a holder does to its job, and what becomes of one that its holder lost. */
import type { EventDetail } from './event.ts';
import type { Failure, Micros } from './job.ts';
import { LEASE_EXPIRED, leaseEnd, RELEASE_LIMIT, SCHEDULE_TO_CLOSE, START_TO_CLOSE } from './lease.ts';
import { LIMITS } from './limits.ts';
import { mayRetry, retryDelayMs } from './retry.ts';
import { applied, failed, moved, ready, type Decision, type Held, type HolderCommand } from './token-state.ts';

/** Of a lease that is live and the command's own. */
export function decideHeld(job: Held, command: HolderCommand, now: Micros): Decision {
  const isStarted = job.state === 'RUNNING';
  if (!isStarted && (command.action === 'ack' || command.action === 'fail' || command.action === 'suspend')) {
    return { kind: 'refused', why: 'not_started' };
  }
  switch (command.action) {
    case 'start':
      return isStarted ? applied(job) : start(job, now);
    case 'heartbeat':
      return applied({ ...job, lease: { ...job.lease, expiresAt: renewedUntil(job, now) } });
    case 'ack':
      return applied({ ...moved(job, 1), state: 'SUCCEEDED' }, { type: 'succeeded', evidence: null });
    case 'fail':
      return isCancelled(job) ? cancelled(job) : endByFailure(job, command, now);
    case 'release':
      return isCancelled(job) ? cancelled(job) : release(job, command.delayMs, now);
    case 'suspend': {
      if (isCancelled(job)) return cancelled(job);
      const { reason } = command;
      return applied({ ...moved(job, 1), attempt: job.attempt - 1, state: 'SUSPENDED' }, { type: 'suspended', reason });
    }
  }
}

/** Of a lease that has ended. The cause is what came first. */
export function lostLease(job: Held, jitterFactor: number, now: Micros): Decision {
  if (isCancelled(job)) return cancelled(job);
  const { lease, lifeUntil } = job;
  const end = leaseEnd(lease);
  if (end === lifeUntil) return applied({ ...moved(job, 1), state: 'FAILED' }, failed(job, SCHEDULE_TO_CLOSE));
  const failure = end === lease.runUntil ? START_TO_CLOSE : LEASE_EXPIRED;
  const isBound = job.rules.disposition === 'OWNER_BOUND' && job.wasStarted;
  if (!isBound && job.abandonReason === null) return endByFailure(job, { failure, retryAfterMs: null, jitterFactor }, now);
  const reason = job.abandonReason ?? failure.message;
  return applied({ ...moved(job, 1), state: 'ABANDONED' }, { type: 'abandoned', reason, failure });
}

function start(job: Held, now: Micros): Decision {
  const { startToCloseMs } = job.rules.timeouts;
  const runUntil = startToCloseMs === null ? null : now + startToCloseMs * 1_000;
  const expiresAt = Math.min(job.lease.expiresAt, runUntil ?? Number.POSITIVE_INFINITY);
  const started = { ...moved(job, 1), wasStarted: true, lease: { ...job.lease, runUntil, expiresAt } };
  return applied({ ...started, state: 'RUNNING' }, { type: 'started' });
}

function renewedUntil({ lease, lifeUntil }: Held, now: Micros): Micros {
  const ends = [now + lease.durationMs * 1_000, lease.cancelDeadline, lease.runUntil, lifeUntil].filter((end) => end !== null);
  return Math.min(...ends);
}

/** Once its cancellation was asked for, a job ends CANCELLED however its try ends, but for an ack. */
function isCancelled({ lease }: Held): boolean {
  return lease.cancelDeadline !== null;
}

function cancelled(job: Held): Decision {
  return applied({ ...moved(job, 1), state: 'CANCELLED' }, { type: 'cancelled', reason: job.lease.cancelReason, evidence: null });
}

interface FailureTold {
  readonly failure: Failure;
  readonly retryAfterMs: number | null;
  readonly jitterFactor: number;
}

function endByFailure(job: Held, { failure, retryAfterMs, jitterFactor }: FailureTold, now: Micros): Decision {
  const { policy } = job.rules;
  if (!mayRetry(policy, job.attempt, failure)) return applied({ ...moved(job, 1), state: 'FAILED' }, failed(job, failure));
  const delayMs = retryAfterMs ?? retryDelayMs(policy, job.attempt, jitterFactor);
  const dueAt = now + Math.round(delayMs * 1_000);
  const event: EventDetail = { type: 'retry_scheduled', failure, retryAt: dueAt, nextAttempt: job.attempt + 1 };
  return applied({ ...moved(job, 1), state: 'RETRY_WAIT', dueAt }, event);
}

function release(job: Held, delayMs: number, now: Micros): Decision {
  const refunded = job.releases < LIMITS.releasesPerLife;
  if (!refunded && job.attempt >= job.rules.policy.maxAttempts) {
    return applied({ ...moved(job, 1), state: 'FAILED' }, failed(job, RELEASE_LIMIT));
  }
  const left = { ...moved(job, 1), attempt: refunded ? job.attempt - 1 : job.attempt, releases: job.releases + 1 };
  if (delayMs === 0) return applied(ready(left, now), { type: 'released', runAt: null });
  const dueAt = now + delayMs * 1_000;
  return applied({ ...left, state: 'SCHEDULED', dueAt }, { type: 'released', runAt: dueAt });
}
