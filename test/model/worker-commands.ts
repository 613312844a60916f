/** What a holder does with a lease: its own, or one that it has lost. */
import { expect } from 'vitest';
import type { Result } from '../../src/domain/error.ts';
import type { Failure, Job } from '../../src/domain/job.ts';
import type { LeaseToken } from '../../src/domain/lease.ts';
import type { Decision, HolderCommand } from '../../src/domain/token-state.ts';
import type { FailDecision } from '../../src/engine/ports/repository.ts';
import { expectCurrent } from './compare.ts';
import { lossReason, type Model, type ModelJob, type ModelLease } from './model.ts';
import { nowOf, type Real, type Via } from './real.ts';
import { command, type ModelCommand } from './step.ts';

/** A lease the model knows of: `job` chooses among the jobs, `held` only among those in flight, `older` among the job's leases. */
export interface LeasePick {
  readonly job: number;
  readonly held: boolean;
  readonly older: number;
}

interface Target {
  readonly job: ModelJob;
  readonly lease: ModelLease;
}

function pickLease(model: Model, pick: LeasePick): Target | null {
  const claimed = model.jobs.filter((job) => job.leases.length > 0);
  const inFlight = claimed.filter((job) => 'lease' in job.token);
  const among = pick.held && inFlight.length > 0 ? inFlight : claimed;
  const job = among[pick.job % Math.max(1, among.length)];
  const lease = job?.leases[Math.max(0, job.leases.length - 1 - pick.older)];
  return job === undefined || lease === undefined ? null : { job, lease };
}

const anyLease = (model: Model) => model.jobs.some((job) => job.leases.length > 0);

type OnLease = (model: Model, real: Real, target: Target) => Promise<void>;

function onLease(name: string, via: Via, pick: LeasePick, run: OnLease): ModelCommand {
  return command(`${name} ${JSON.stringify(pick)}`, { via, check: anyLease }, async (model, real) => {
    const target = pickLease(model, pick);
    if (target !== null) await run(model, real, target);
  });
}

export function start(via: Via, pick: LeasePick): ModelCommand {
  return onLease('start', via, pick, async (model, real, { job, lease }) => {
    const decision = model.apply(job, { action: 'start', fence: lease.token.fence }, nowOf(real));
    const result = await real.engine.workers.start(lease.token);
    expect(result.ok).toBe(decision.kind === 'applied');
    if (result.ok) await expectCurrent(real, result.value);
  });
}

export function heartbeat(via: Via, pick: LeasePick, checkpoint: string | null): ModelCommand {
  return onLease(`heartbeat ${checkpoint}`, via, pick, async (model, real, { job, lease }) => {
    const { token } = lease;
    const decision = model.apply(job, { action: 'heartbeat', fence: token.fence }, nowOf(real));
    const [outcome] = await real.engine.workers.heartbeat([{ token, checkpoint: checkpoint === null ? null : Buffer.from(checkpoint) }]);
    if (decision.kind === 'refused' || !('lease' in job.token)) {
      expect(outcome).toEqual({ kind: 'lease_lost', reason: lossReason(job, lease) });
      return;
    }
    const { expiresAt, cancelDeadline } = job.token.lease;
    expect(outcome).toEqual({
      kind: 'renewed',
      expiresAt,
      cancelDeadline,
      ttlMs: Math.floor((expiresAt - nowOf(real)) / 1_000),
      draining: false,
    });
    job.checkpoint = checkpoint ?? job.checkpoint;
  });
}

interface Answer {
  readonly job: Job | null;
  readonly outcome: 'APPLIED' | 'ALREADY_APPLIED' | 'NOT_HELD';
  readonly decision?: FailDecision;
}

interface Settling {
  readonly kind: 'ack' | 'fail' | 'release' | 'suspend';
  readonly command: HolderCommand;
  readonly send: (token: LeaseToken) => Promise<Result<Answer>>;
}

/** All four settlements: applied once, the same answer again, lost with any other token. */
async function settle(model: Model, real: Real, { job, lease }: Target, told: Settling): Promise<Decision> {
  const decision = model.apply(job, told.command, nowOf(real));
  const answer = await told.send(lease.token);
  if (decision.kind === 'applied') {
    expect(answer).toMatchObject({ ok: true, value: { outcome: 'APPLIED' } });
    lease.settlement = told.kind;
  } else if (lease.settlement === told.kind) {
    expect(answer).toMatchObject({ ok: true, value: { outcome: 'ALREADY_APPLIED' } });
  } else if (told.kind === 'release') {
    expect(answer).toEqual({ ok: true, value: { job: null, outcome: 'NOT_HELD' } });
  } else {
    const kind = decision.why === 'not_started' ? 'invalid_transition' : 'lease_lost';
    expect(answer).toMatchObject({ ok: false, refusal: { kind } });
  }
  if (answer.ok && answer.value.job !== null) await expectCurrent(real, answer.value.job);
  if (answer.ok && decision.kind === 'applied' && told.kind === 'fail') expect(answer.value.decision).toEqual(failDecision(decision));
  return decision;
}

function failDecision({ job, events: [event] }: Extract<Decision, { readonly kind: 'applied' }>): FailDecision | undefined {
  switch (event?.type) {
    case 'retry_scheduled':
      return { kind: 'retry_scheduled', nextAttempt: event.nextAttempt, retryAt: event.retryAt };
    case 'failed':
      return event.deadLettered ? { kind: 'dead_lettered', life: job.life } : { kind: 'failed' };
    case 'cancelled':
      return { kind: 'cancelled' };
    default:
      return undefined;
  }
}

export function ack(via: Via, pick: LeasePick): ModelCommand {
  return onLease('ack', via, pick, async (model, real, target) => {
    await settle(model, real, target, {
      kind: 'ack',
      command: { action: 'ack', fence: target.lease.token.fence },
      send: (token) => real.engine.workers.ack({ token, result: Buffer.from('done'), contentType: 'text/plain' }),
    });
  });
}

export function fail(via: Via, pick: LeasePick, told: { readonly failure: Failure; readonly retryAfterMs: number | null }): ModelCommand {
  const { failure, retryAfterMs } = told;
  return onLease(`fail ${failure.code} ${failure.kind} ${retryAfterMs}`, via, pick, async (model, real, target) => {
    await settle(model, real, target, {
      kind: 'fail',
      command: { action: 'fail', fence: target.lease.token.fence, failure, retryAfterMs, jitterFactor: 0.5 },
      send: (token) => real.engine.workers.fail({ token, failure, retryAfterMs }),
    });
  });
}

export function release(via: Via, pick: LeasePick, delayMs: number): ModelCommand {
  return onLease(`release ${delayMs}`, via, pick, async (model, real, target) => {
    await settle(model, real, target, {
      kind: 'release',
      command: { action: 'release', fence: target.lease.token.fence, delayMs },
      send: (token) => real.engine.workers.release({ token, delayMs }),
    });
  });
}

export function suspend(via: Via, pick: LeasePick, told: { readonly reason: string; readonly checkpoint: string | null }): ModelCommand {
  const { reason, checkpoint } = told;
  return onLease(`suspend ${JSON.stringify(told)}`, via, pick, async (model, real, target) => {
    const decision = await settle(model, real, target, {
      kind: 'suspend',
      command: { action: 'suspend', fence: target.lease.token.fence, reason },
      send: (token) => real.engine.workers.suspend({ token, reason, checkpoint: checkpoint === null ? null : Buffer.from(checkpoint) }),
    });
    // One that was cancelled instead leaves nothing behind.
    if (decision.kind === 'applied' && target.job.token.state === 'SUSPENDED') target.job.checkpoint = checkpoint ?? target.job.checkpoint;
  });
}
