/** What others than the holder do to a job. */
import type { EventDetail, JobChange } from './event.ts';
import { isTerminal, type Micros } from './job.ts';
import { applied, failed, INVALID, isWaiting, moved, ready, type Decision, type OperatorCommand, type TokenState } from './token-state.ts';

export function operate(job: TokenState, command: OperatorCommand, now: Micros): Decision {
  switch (command.action) {
    case 'cancel':
      return cancel(job, command.reason, now);
    case 'update':
      return update(job, command.change, now);
    case 'resume':
      if (job.state !== 'SUSPENDED') return INVALID;
      return applied(ready(moved(job, 1), now), { type: 'resumed', reason: command.reason });
    case 'retry':
      return retry(job, command.reason, now);
    case 'request_abandon':
      return requestAbandon(job, command.reason);
    case 'complete_externally':
      return complete(job, command);
  }
}

/** Ended jobs stay as they are, and so do those that were asked before. */
function cancel(job: TokenState, reason: string, now: Micros): Decision {
  if (isWaiting(job.state)) return applied({ ...moved(job, 1), state: 'CANCELLED' }, { type: 'cancelled', reason, evidence: null });
  if (!('lease' in job) || job.lease.cancelDeadline !== null) return applied(job);
  const { lease } = job;
  const ends = [now + job.rules.cancellationBudgetMs * 1_000, lease.runUntil, job.lifeUntil].filter((end) => end !== null);
  const cancelDeadline = Math.min(...ends);
  const marked = { ...lease, cancelDeadline, cancelReason: reason, expiresAt: Math.min(lease.expiresAt, cancelDeadline) };
  const event: EventDetail = { type: 'cancel_requested', reason, cancelDeadline, state: job.state };
  return applied({ ...moved(job, 1), lease: marked, state: job.state }, event);
}

/** Ended jobs stay as they are, and so do those that were asked before. */
function requestAbandon(job: TokenState, reason: string): Decision {
  if (isTerminal(job.state)) return applied(job);
  if (!('lease' in job)) return INVALID;
  if (job.abandonReason !== null) return applied(job);
  return applied({ ...job, sequence: job.sequence + 1, abandonReason: reason }, { type: 'abandon_requested', reason, state: job.state });
}

/** A READY job keeps its time-out; one that becomes READY begins it. A suspended job has no time. */
function update(job: TokenState, change: JobChange, now: Micros): Decision {
  if (!isWaiting(job.state) || (job.state === 'SUSPENDED' && change.runAt !== undefined)) return INVALID;
  const { runAt } = change;
  const told = (next: TokenState): Decision => applied(next, { type: 'updated', change, state: next.state });
  if (runAt === undefined) return told({ ...job, sequence: job.sequence + 1 });
  if (runAt === null || runAt <= now) {
    return told(job.state === 'READY' ? { ...job, sequence: job.sequence + 1 } : ready(moved(job, 1), now));
  }
  const state = job.state === 'RETRY_WAIT' ? 'RETRY_WAIT' : 'SCHEDULED';
  return told({ ...moved(job, 1), state, dueAt: runAt });
}

function retry(job: TokenState, reason: string, now: Micros): Decision {
  if (job.state !== 'FAILED' && job.state !== 'CANCELLED') return INVALID;
  const { scheduleToCloseMs } = job.rules.timeouts;
  const lifeUntil = scheduleToCloseMs === null ? null : now + scheduleToCloseMs * 1_000;
  const fresh = { ...moved(job, 1), life: job.life + 1, attempt: 0, releases: 0, lifeUntil, wasStarted: false, abandonReason: null };
  return applied(ready(fresh, now), { type: 'retried', reason });
}

function complete(job: TokenState, { end, evidence }: Extract<OperatorCommand, { readonly action: 'complete_externally' }>): Decision {
  if (job.rules.disposition !== 'EXTERNALLY_OWNED' || (job.state !== 'READY' && job.state !== 'SCHEDULED')) return INVALID;
  const ended: TokenState = { ...moved(job, 1), state: end.state };
  switch (end.state) {
    case 'SUCCEEDED':
      return applied(ended, { type: 'succeeded', evidence });
    case 'FAILED':
      return applied(ended, failed(job, end.failure, evidence));
    case 'CANCELLED':
      return applied(ended, { type: 'cancelled', reason: end.reason, evidence });
  }
}
