/**
 * What a command does to a job: the meaning of the statements in `repository/`, which are its fast copy over whole batches.
 * A model-based test runs both side by side and holds them equal.
 */
import { decideHeld, lostLease } from './decide-held.ts';
import { operate } from './decide-operator.ts';
import { isTerminal, type Micros } from './job.ts';
import { isLive, nextFence, SCHEDULE_TO_CLOSE, SCHEDULE_TO_START } from './lease.ts';
import {
  applied,
  failed,
  isWaiting,
  moved,
  ready,
  type Command,
  INVALID,
  type Decision,
  type Held,
  type HolderCommand,
  type OperatorCommand,
  type Rules,
  type TokenState,
} from './token-state.ts';

/** A job as it comes into being: its first event is told. */
export function begin({ rules, runAt, now }: { readonly rules: Rules; readonly runAt: Micros | null; readonly now: Micros }): TokenState {
  const { scheduleToCloseMs } = rules.timeouts;
  const lifeUntil = scheduleToCloseMs === null ? null : now + scheduleToCloseMs * 1_000;
  const moving = { life: 1, attempt: 0, fence: 0n, sequence: 1, releases: 0, lifeUntil, wasStarted: false, abandonReason: null, rules };
  return runAt !== null && runAt > now ? { ...moving, state: 'SCHEDULED', dueAt: runAt } : ready(moving, now);
}

export function decide(job: TokenState, command: Command, now: Micros): Decision {
  switch (command.action) {
    case 'promote':
      if (!('dueAt' in job) || job.dueAt > now) return { kind: 'refused', why: 'not_due' };
      return applied(ready(moved(job, 1), now), { type: 'ready' });
    case 'claim':
      return claim(job, command, now);
    case 'expire':
      if (!('lease' in job) || isLive(job.lease, now)) return { kind: 'refused', why: 'not_due' };
      return lostLease(job, command.jitterFactor, now);
    case 'time_out':
      return timeOut(job, now);
    case 'cancel':
    case 'update':
    case 'retry':
    case 'resume':
    case 'request_abandon':
    case 'complete_externally':
      return operateAsOf(job, command, now);
    case 'append_event':
      return append(job, command, now);
    default:
      return settle(job, command, now);
  }
}

/**
 * A lease that has ended, or a job that has waited too long, is no more than one that nobody has swept yet. A request to abandon still
 * decides what a lease is swept to.
 */
function operateAsOf(job: TokenState, command: OperatorCommand, now: Micros): Decision {
  const onTime = (swept: TokenState): Decision => {
    const late = timeOut(swept, now);
    return late.kind === 'applied' ? inTurn(late, (ended) => operate(ended, command, now)) : operate(swept, command, now);
  };
  if (!('lease' in job) || isLive(job.lease, now)) return onTime(job);
  if (command.action !== 'request_abandon') return inTurn(lostLease(job, 1, now), onTime);
  return inTurn(operate(job, command, now), (asked) => ('lease' in asked ? lostLease(asked, 1, now) : applied(asked)));
}

/** Both or nothing, and the events of both. */
function inTurn(first: Decision, next: (job: TokenState) => Decision): Decision {
  if (first.kind === 'refused') return first;
  const second = next(first.job);
  return second.kind === 'refused' ? second : applied(second.job, ...first.events, ...second.events);
}

/** A fact of a job that goes on. Nobody sweeps for it what is over: it stands before that end. */
function append(job: TokenState, { fence, told }: Extract<Command, { readonly action: 'append_event' }>, now: Micros): Decision {
  if (fence !== null && !isHeldUnder(job, fence, now)) return { kind: 'refused', why: 'lease_lost' };
  if (isTerminal(job.state)) return INVALID;
  return applied({ ...job, sequence: job.sequence + 1 }, { type: 'custom', ...told, state: job.state });
}

function isHeldUnder(job: TokenState, fence: bigint, now: Micros): job is Held {
  return 'lease' in job && job.fence === fence && isLive(job.lease, now);
}

function settle(job: TokenState, command: HolderCommand, now: Micros): Decision {
  if (!isHeldUnder(job, command.fence, now)) return { kind: 'refused', why: 'lease_lost' };
  return decideHeld(job, command, now);
}

function claim(job: TokenState, command: Extract<Command, { readonly action: 'claim' }>, now: Micros): Decision {
  if (job.state !== 'READY' || job.rules.disposition === 'EXTERNALLY_OWNED') return { kind: 'refused', why: 'not_ready' };
  // A timed-out job is not given, though the sweep has not come by yet.
  if (job.giveUpAt !== null && job.giveUpAt <= now) return { kind: 'refused', why: 'not_ready' };
  const { durationMs, graceMs, start, epoch } = command;
  const { startToCloseMs } = job.rules.timeouts;
  const runUntil = start && startToCloseMs !== null ? now + startToCloseMs * 1_000 : null;
  const ends = [now + durationMs * 1_000, runUntil, job.lifeUntil].filter((end) => end !== null);
  const bounds = { expiresAt: Math.min(...ends), graceMs, cancelDeadline: null, runUntil, lifeUntil: job.lifeUntil };
  const lease = { ...bounds, durationMs, cancelReason: '' };
  // Counted at claim, not at failure: a worker that dies must still spend an attempt, or a poison job would loop for ever.
  const held = { ...moved(job, start ? 2 : 1), attempt: job.attempt + 1, fence: nextFence(job.fence, epoch), lease };
  if (!start) return applied({ ...held, state: 'LEASED' }, { type: 'claimed' });
  return applied({ ...held, wasStarted: true, state: 'RUNNING' }, { type: 'claimed' }, { type: 'started' });
}

function timeOut(job: TokenState, now: Micros): Decision {
  const end = job.state === 'READY' ? job.giveUpAt : job.lifeUntil;
  if (!isWaiting(job.state) || end === null || end > now) return { kind: 'refused', why: 'not_due' };
  const failure = end === job.lifeUntil ? SCHEDULE_TO_CLOSE : SCHEDULE_TO_START;
  return applied({ ...moved(job, 1), state: 'FAILED' }, failed(job, failure));
}
