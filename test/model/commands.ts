/** What neither the holder nor an operator of one job does: enqueue, claim, upkeep, the passing of time. */
import { expect } from 'vitest';
import type { Disposition, Failure, JobSpec, Micros, Timeouts } from '../../src/domain/job.ts';
import { parseLeaseToken } from '../../src/domain/lease.ts';
import type { ClaimedJob } from '../../src/engine/ports/repository.ts';
import { expectCurrent } from './compare.ts';
import type { Model, ModelJob } from './model.ts';
import { nowOf, QUEUE, type Real, type Via } from './real.ts';
import { command, type ModelCommand } from './step.ts';

const GRACE_MS = 5_000;

export interface EnqueueTold {
  readonly priority: number;
  readonly runInMs: number | null;
  readonly key: string | null;
  readonly scope: 'RETAINED' | 'UNTIL_TERMINAL';
  readonly content: 'a' | 'b';
  readonly maxAttempts: number | null;
  readonly onDuplicate: 'RETURN_EXISTING' | 'REJECT';
  readonly disposition: Disposition;
  readonly timeouts: Timeouts;
}

export function enqueue(via: Via, told: EnqueueTold): ModelCommand {
  return command(`enqueue ${JSON.stringify(told)}`, { via }, async (model, real) => {
    const spec = specOf(told, nowOf(real));
    const result = await real.engine.jobs.enqueue({ namespace: real.namespace, spec });
    const former = told.key === null ? null : model.holderOf(told.key);
    if (former === null) {
      expect(result).toMatchObject({ ok: true, value: { deduplicated: false } });
      if (result.ok) model.enqueue(result.value.job.jobId, spec, nowOf(real));
    } else if (told.onDuplicate === 'REJECT' || !sameContent(former.spec, spec)) {
      expect(result).toEqual({ ok: false, refusal: { kind: 'duplicate_job', jobId: former.jobId } });
    } else {
      expect(result).toMatchObject({ ok: true, value: { deduplicated: true, job: { jobId: former.jobId } } });
    }
    if (result.ok) await expectCurrent(real, result.value.job);
  });
}

function sameContent(one: JobSpec, other: JobSpec): boolean {
  return one.disposition === other.disposition && Buffer.from(one.payload).equals(other.payload);
}

function specOf(told: EnqueueTold, now: Micros): JobSpec {
  const isExternal = told.disposition === 'EXTERNALLY_OWNED';
  return {
    queue: QUEUE,
    type: 'work',
    payload: Buffer.from(told.content),
    contentType: 'text/plain',
    headers: {},
    labels: {},
    jobId: null,
    idempotency: told.key === null ? null : { key: told.key, scope: told.scope, ttlMs: null },
    onDuplicate: told.onDuplicate,
    priority: told.priority,
    // Nobody claims it, so nothing but its life can time out.
    concurrencyKey: '',
    timeouts: isExternal ? { ...told.timeouts, scheduleToStartMs: null, startToCloseMs: null } : told.timeouts,
    disposition: told.disposition,
    fairnessKey: '',
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

export interface ClaimTold {
  readonly maxJobs: number;
  readonly start: boolean;
  readonly leaseDurationMs: number;
}

export function claim(via: Via, told: ClaimTold): ModelCommand {
  return command(`claim ${JSON.stringify(told)}`, { via }, async (model, real) => {
    const expected = model.backlog(nowOf(real)).slice(0, told.maxJobs);
    const { engine, namespace, workerId } = real;
    const wanted = { namespace, workerId, queues: [QUEUE], maxJobs: told.maxJobs, waitMs: 0, requestId: null };
    const { jobs } = await engine.workers.claim(
      { ...wanted, leaseDurationMs: told.leaseDurationMs, startOnClaim: told.start },
      new AbortController().signal,
    );
    expect(jobs.map(({ job }) => job.jobId)).toEqual(expected.map(({ jobId }) => jobId));
    jobs.forEach((claimed, index) => claimedAs(model, real, { claimed, job: expected[index], told }));
    for (const { job } of jobs) await expectCurrent(real, job);
  });
}

function claimedAs(
  model: Model,
  real: Real,
  { claimed, job, told }: { readonly claimed: ClaimedJob; readonly job: ModelJob | undefined; readonly told: ClaimTold },
): void {
  const token = parseLeaseToken(claimed.lease.leaseToken);
  if (job === undefined || token === null) throw new Error('claimed what the model has not');
  job.workerId = real.workerId;
  const epoch = Number(claimed.job.fence >> 32n);
  const { leaseDurationMs: durationMs, start } = told;
  model.apply(job, { action: 'claim', epoch, durationMs, graceMs: GRACE_MS, start }, nowOf(real));
  job.leases.push({ token, settlement: null, lostBy: null });
  const expiresAt = 'lease' in job.token ? job.token.lease.expiresAt : 0;
  expect({ ...claimed.lease, fence: claimed.job.fence, checkpoint: claimed.checkpoint?.toString() ?? null }).toMatchObject({
    fence: job.token.fence,
    attempt: job.token.attempt,
    expiresAt,
    ttlMs: Math.floor((expiresAt - nowOf(real)) / 1_000),
    checkpoint: job.checkpoint,
  });
}

export function advance(milliseconds: number): ModelCommand {
  return command(`advance ${milliseconds}`, { via: 0 }, async (_model, real) => real.system.clock.advance(milliseconds));
}

export function upkeep(via: Via): ModelCommand {
  return command('upkeep', { via }, async (model, real) => {
    // Rounds are bounded and shared with earlier runs' jobs: until nothing is left.
    for (;;) {
      model.upkeep(nowOf(real));
      const counts = await real.engine.queues.runUpkeep();
      if (Object.values(counts).every((count) => count === 0)) return;
    }
  });
}

export function failureOf(code: string, kind: Failure['kind']): Failure {
  return { code, message: 'no', details: Buffer.from('d'), kind };
}
