/** Each command does the same to the model and to the service, and compares what they answer. */
import { expect } from 'vitest';
import type { AsyncCommand } from 'fast-check';
import type { Failure, JobSpec } from '../../src/domain/job.ts';
import { parseLeaseToken, type LeaseToken } from '../../src/domain/lease.ts';
import type { Command as DomainCommand } from '../../src/domain/decide.ts';
import { violationsOf } from '../support/violations.ts';
import type { Model, ModelJob } from './model.ts';
import type { System } from './system.ts';

export interface Real {
  readonly system: System;
  readonly namespace: string;
}

const QUEUE = 'q';
const GRACE_MS = 5_000;

type ModelCommand = AsyncCommand<Model, Real>;

function command(name: string, check: (model: Model) => boolean, run: (model: Model, real: Real) => Promise<void>): ModelCommand {
  return {
    check,
    run: async (model, real) => {
      await run(model, real);
      await compareEverything(model, real);
    },
    toString: () => name,
  };
}

const nowOf = ({ system }: Real) => system.clock.now().getTime() * 1_000;

export interface EnqueueTold {
  readonly priority: number;
  readonly runInMs: number | null;
  readonly key: string | null;
  readonly content: 'a' | 'b';
  readonly maxAttempts: number | null;
  readonly onDuplicate: 'RETURN_EXISTING' | 'REJECT';
}

export function enqueue(told: EnqueueTold): ModelCommand {
  return command(
    `enqueue ${JSON.stringify(told)}`,
    () => true,
    async (model, real) => {
      const spec = specOf(told, nowOf(real));
      const result = await real.system.engine.jobs.enqueue({ namespace: real.namespace, spec });
      const former = told.key === null ? undefined : model.byKey(told.key);
      if (former === undefined) {
        expect(result).toMatchObject({ ok: true, value: { deduplicated: false } });
        if (result.ok) model.enqueue(result.value.job.jobId, spec, nowOf(real));
      } else if (told.onDuplicate === 'REJECT' || !Buffer.from(former.spec.payload).equals(spec.payload)) {
        expect(result).toEqual({ ok: false, refusal: { kind: 'duplicate_job', jobId: former.jobId } });
      } else {
        expect(result).toMatchObject({ ok: true, value: { deduplicated: true, job: { jobId: former.jobId } } });
      }
    },
  );
}

function specOf(told: EnqueueTold, now: number): JobSpec {
  return {
    queue: QUEUE,
    type: 'work',
    payload: Buffer.from(told.content),
    contentType: 'text/plain',
    headers: {},
    labels: {},
    jobId: null,
    idempotency: told.key === null ? null : { key: told.key, scope: 'RETAINED', ttlMs: null },
    onDuplicate: told.onDuplicate,
    priority: told.priority,
    runAt: told.runInMs === null ? null : now + told.runInMs * 1_000,
    retry: {
      maxAttempts: told.maxAttempts,
      initialBackoffMs: 2_000,
      multiplier: 2,
      maxBackoffMs: 8_000,
      jitter: true,
      nonRetryableCodes: ['never'],
    },
  };
}

export function claim(told: { readonly maxJobs: number; readonly start: boolean; readonly leaseDurationMs: number }): ModelCommand {
  return command(
    `claim ${JSON.stringify(told)}`,
    () => true,
    async (model, real) => {
      const expected = model.backlog().slice(0, told.maxJobs);
      const claimed = await real.system.engine.workers.claim(
        {
          namespace: real.namespace,
          workerId: 'w',
          queues: [QUEUE],
          maxJobs: told.maxJobs,
          waitMs: 0,
          leaseDurationMs: told.leaseDurationMs,
          startOnClaim: told.start,
          requestId: null,
        },
        new AbortController().signal,
      );
      expect(claimed.jobs.map(({ job }) => job.jobId)).toEqual(expected.map(({ jobId }) => jobId));
      claimed.jobs.forEach(({ job, lease }, index) => {
        const target = expected[index];
        const token = parseLeaseToken(lease.leaseToken);
        if (target === undefined || token === null) throw new Error('claimed what the model has not');
        const epoch = Number(job.fence >> 32n);
        model.apply(
          target,
          { action: 'claim', epoch, durationMs: told.leaseDurationMs, graceMs: GRACE_MS, start: told.start },
          nowOf(real),
        );
        target.leases.push({ token, settlement: null });
        expect({ fence: job.fence, attempt: job.attempt, ttlMs: lease.ttlMs }).toEqual({
          fence: target.token.fence,
          attempt: target.token.attempt,
          ttlMs: told.leaseDurationMs,
        });
      });
    },
  );
}

/** A lease the model knows of: `pick` chooses the job and which of its leases, the latest or an older one. */
interface Pick {
  readonly job: number;
  readonly older: number;
}

function pickLease(model: Model, pick: Pick): { job: ModelJob; lease: ModelJob['leases'][number] } | null {
  const held = model.jobs.filter((job) => job.leases.length > 0);
  const job = held[pick.job % Math.max(1, held.length)];
  const lease = job?.leases[Math.max(0, job.leases.length - 1 - pick.older)];
  return job === undefined || lease === undefined ? null : { job, lease };
}

const anyLease = (model: Model) => model.jobs.some((job) => job.leases.length > 0);

function onLease(
  name: string,
  pick: Pick,
  run: (model: Model, real: Real, target: { job: ModelJob; lease: ModelJob['leases'][number] }) => Promise<void>,
): ModelCommand {
  return command(`${name} ${JSON.stringify(pick)}`, anyLease, async (model, real) => {
    const target = pickLease(model, pick);
    if (target !== null) await run(model, real, target);
  });
}

export function start(pick: Pick): ModelCommand {
  return onLease('start', pick, async (model, real, { job, lease }) => {
    const decision = model.apply(job, { action: 'start', fence: lease.token.fence }, nowOf(real));
    const result = await real.system.engine.workers.start(lease.token);
    expect(result.ok).toBe(decision.kind === 'applied');
  });
}

export function heartbeat(pick: Pick): ModelCommand {
  return onLease('heartbeat', pick, async (model, real, { job, lease }) => {
    const decision = model.apply(job, { action: 'heartbeat', fence: lease.token.fence }, nowOf(real));
    const [outcome] = await real.system.engine.workers.heartbeat([{ token: lease.token, checkpoint: null }]);
    expect(outcome?.kind).toBe(decision.kind === 'applied' ? 'renewed' : 'lease_lost');
    if (outcome?.kind === 'renewed' && 'lease' in job.token) expect(outcome.expiresAt).toBe(job.token.lease.expiresAt);
  });
}

/** All three settlements: applied once, the same answer again, lost with any other token. */
async function settle(
  model: Model,
  real: Real,
  { job, lease }: { job: ModelJob; lease: ModelJob['leases'][number] },
  told: {
    kind: 'ack' | 'fail' | 'release';
    command: DomainCommand;
    send: (token: LeaseToken) => Promise<{ ok: boolean; outcome: string; refusal: string }>;
  },
): Promise<void> {
  const decision = model.apply(job, told.command, nowOf(real));
  const answer = await told.send(lease.token);
  if (decision.kind === 'applied') {
    expect(answer).toMatchObject({ ok: true, outcome: 'APPLIED' });
    lease.settlement = told.kind;
  } else if (lease.settlement === told.kind) {
    expect(answer).toMatchObject({ ok: true, outcome: 'ALREADY_APPLIED' });
  } else if (told.kind === 'release') {
    expect(answer).toMatchObject({ ok: true, outcome: 'NOT_HELD' });
  } else {
    expect(answer).toMatchObject({ ok: false, refusal: decision.why === 'not_started' ? 'invalid_transition' : 'lease_lost' });
  }
}

type Answer =
  { readonly ok: true; readonly value: { readonly outcome: string } } | { readonly ok: false; readonly refusal: { readonly kind: string } };

function flat(answer: Answer): { ok: boolean; outcome: string; refusal: string } {
  return answer.ok ? { ok: true, outcome: answer.value.outcome, refusal: '' } : { ok: false, outcome: '', refusal: answer.refusal.kind };
}

export function ack(pick: Pick): ModelCommand {
  return onLease('ack', pick, (model, real, target) =>
    settle(model, real, target, {
      kind: 'ack',
      command: { action: 'ack', fence: target.lease.token.fence },
      send: async (token) => flat(await real.system.engine.workers.ack({ token, result: Buffer.from('done'), contentType: '' })),
    }),
  );
}

export function fail(
  pick: Pick,
  told: { readonly code: string; readonly kind: Failure['kind']; readonly retryAfterMs: number | null },
): ModelCommand {
  const failure: Failure = { code: told.code, message: 'no', details: Buffer.from('d'), kind: told.kind };
  return onLease(`fail ${JSON.stringify(told)}`, pick, (model, real, target) =>
    settle(model, real, target, {
      kind: 'fail',
      command: { action: 'fail', fence: target.lease.token.fence, failure, retryAfterMs: told.retryAfterMs, jitterFactor: 0.5 },
      send: async (token) => flat(await real.system.engine.workers.fail({ token, failure, retryAfterMs: told.retryAfterMs })),
    }),
  );
}

export function release(pick: Pick, delayMs: number): ModelCommand {
  return onLease(`release ${delayMs}`, pick, (model, real, target) =>
    settle(model, real, target, {
      kind: 'release',
      command: { action: 'release', fence: target.lease.token.fence, delayMs },
      send: async (token) => flat(await real.system.engine.workers.release({ token, delayMs })),
    }),
  );
}

export function advance(milliseconds: number): ModelCommand {
  return command(
    `advance ${milliseconds}`,
    () => true,
    async (_model, real) => real.system.clock.advance(milliseconds),
  );
}

export function upkeep(): ModelCommand {
  return command(
    'upkeep',
    () => true,
    async (model, real) => {
      // Rounds are bounded and shared with earlier runs' jobs: until nothing is left.
      for (;;) {
        model.promote(nowOf(real));
        model.expire(nowOf(real));
        const { promoted, expired } = await real.system.engine.queues.runUpkeep();
        if (promoted + expired === 0) return;
      }
    },
  );
}

/** After each step: every job's state and history, the backlog's order, and the service's own check. */
async function compareEverything(model: Model, { system: { engine }, namespace }: Real): Promise<void> {
  const found = await Promise.all(model.jobs.map((job) => engine.jobs.getJob({ namespace, jobId: job.jobId, withPayload: false })));
  expect(found.map((result) => (result.ok ? summaryOf(result.value.job, result.value.job.lastSequence) : result.refusal.kind))).toEqual(
    model.jobs.map(({ token, jobId }) => summaryOf({ ...token, jobId }, token.sequence)),
  );
  const listed = await Promise.all(
    model.jobs.map((job) => engine.events.listEvents({ namespace, jobId: job.jobId, afterSequence: 0, types: [], pageSize: 1_000 })),
  );
  expect(listed.map((page) => (page.ok ? page.value.events.map(({ detail }) => plain(detail)) : []))).toEqual(
    model.jobs.map(({ events }) => events.map(plain)),
  );
  const peeked = await engine.queues.peekQueue({ namespace, queue: QUEUE, pageSize: 1_000 });
  expect(peeked.ok ? peeked.value.map(({ jobId }) => jobId) : []).toEqual(model.backlog().map(({ jobId }) => jobId));
  expect(await violationsOf(engine, namespace)).toEqual([]);
}

function summaryOf(job: { jobId: string; state: string; life: number; attempt: number; fence: bigint }, sequence: number) {
  return { jobId: job.jobId, state: job.state, life: job.life, attempt: job.attempt, fence: job.fence, sequence };
}

/** Bytes compare by content, whatever holds them. */
function plain(detail: ModelJob['events'][number]): unknown {
  return 'failure' in detail
    ? { ...detail, failure: { ...detail.failure, details: Buffer.from(detail.failure.details).toString('hex') } }
    : detail;
}
