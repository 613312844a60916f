import { describe, expect, it } from 'vitest';
import { Disposition, type JobSpec, JobState } from '../../gen/stint/v1/job.ts';
import { LeaseLostReason } from '../../gen/stint/v1/lease.ts';
import { ClaimDecision, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { fromNow, micros, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const LOST = 'FAILED_PRECONDITION/LEASE_LOST';
/** Long enough for what must come before it, on a slow machine too; the tests that wait for it wait side by side. */
const SHORT_MICROS = 1_000_000;
const short = seconds(1);
/** The short time is over then. */
const AFTER_SECONDS = 1.1;
const soon = { initialBackoff: seconds(0), jitter: false };

async function beat({ stint }: Scene, leaseToken: string) {
  const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] });
  return results[0]?.result;
}

describe.concurrent('schedule_to_start', () => {
  const timeouts = { scheduleToStart: short };
  const code = 'stint.timeout.schedule_to_start';

  it('fails a job that nobody claims in time, and leaves a dead letter', async () => {
    const { enqueue, terminal, events, claim, isSound } = scene();
    const { jobId } = await enqueue({ timeouts });
    const ended = await terminal(jobId);
    expect(ended).toMatchObject({ state: JobState.FAILED, attempt: 0, life: 1, failure: { code } });
    expect(micros(ended.finishedAt) - micros(ended.createdAt)).toBeGreaterThanOrEqual(SHORT_MICROS);
    expect(await events(jobId)).toMatchObject([
      { type: 'enqueued' },
      { type: 'failed', state: JobState.FAILED, detail: { $case: 'failed', failed: { failure: { code }, deadLettered: true } } },
    ]);
    expect((await claim()).jobs).toEqual([]);
    await isSound();
  });

  it('keeps a job from claims at its instant, whether or not it was swept', async () => {
    const { enqueue, claim, later } = scene();
    await enqueue({ timeouts });
    await later(AFTER_SECONDS);
    expect(await claim()).toEqual({ jobs: [], decision: ClaimDecision.EMPTY });
  });

  it('does not touch a job that was claimed in time', async () => {
    const { stint, enqueueAndClaim, later } = scene();
    const { leaseToken } = await enqueueAndClaim({ timeouts });
    await later(AFTER_SECONDS);
    expect((await stint.ack({ leaseToken })).job?.state).toBe(JobState.SUCCEEDED);
  });

  it('runs anew each time the job becomes READY', async () => {
    const { stint, enqueueAndClaim, later, terminal, events, isSound } = scene();
    const first = await enqueueAndClaim({ timeouts });
    await later(AFTER_SECONDS);
    await stint.release({ leaseToken: first.leaseToken, delay: seconds(0.5) });
    const ended = await terminal(first.jobId);
    expect(ended).toMatchObject({ state: JobState.FAILED, attempt: 0, failure: { code } });
    const ready = (await events(first.jobId)).find(({ type }) => type === 'ready');
    expect(micros(ended.finishedAt) - micros(ready?.occurredAt)).toBeGreaterThanOrEqual(SHORT_MICROS);
    await isSound();
  });
});

describe.concurrent('start_to_close', () => {
  const timeouts = { startToClose: short };
  const code = 'stint.timeout.start_to_close';

  it('ends a try that takes too long: it is spent, its token lost, and the next one follows', async () => {
    const one = scene();
    const { stint, enqueueAndClaim, claimOne, later, events, isSound } = one;
    const { jobId, leaseToken } = await enqueueAndClaim({ timeouts, retry: soon }, { leaseDuration: seconds(60) });
    await later(AFTER_SECONDS);
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    expect(await beat(one, leaseToken)).toMatchObject({ lost: { reason: LeaseLostReason.TIMED_OUT } });
    expect(await claimOne()).toMatchObject({ jobId, job: { attempt: 2, failure: { code } } });
    expect((await events(jobId)).slice(2, 5)).toMatchObject([
      { type: 'started' },
      { type: 'retry_scheduled', attempt: 1, detail: { retryScheduled: { failure: { code }, nextAttempt: 2 } } },
      { type: 'ready' },
    ]);
    expect(await beat(one, leaseToken)).toMatchObject({ lost: { reason: LeaseLostReason.TIMED_OUT } });
    await isSound();
  });

  it('is the end that no heartbeat moves', async () => {
    const one = scene();
    const { enqueueAndClaim, terminal } = one;
    const spec = { timeouts, retry: { maxAttempts: 1 } };
    const { job, jobId, claimed, leaseToken } = await enqueueAndClaim(spec, { leaseDuration: seconds(60) });
    const end = micros(job.startedAt) + SHORT_MICROS;
    expect(micros(claimed.lease?.expiresAt)).toBe(end);
    expect(micros(claimed.lease?.ttl)).toBeLessThanOrEqual(SHORT_MICROS);
    const renewed = await beat(one, leaseToken);
    expect(renewed?.$case === 'renewed' && micros(renewed.renewed.expiresAt)).toBe(end);
    const ended = await terminal(jobId);
    expect(ended).toMatchObject({ state: JobState.FAILED, attempt: 1, failure: { code } });
    expect(micros(ended.finishedAt)).toBeGreaterThanOrEqual(end);
  });

  it('counts from the start, not from the claim', async () => {
    const { stint, enqueueAndClaim, later } = scene();
    const { leaseToken } = await enqueueAndClaim({ timeouts }, { start: StartMode.EXPLICIT });
    await later(AFTER_SECONDS);
    const { job } = await stint.start({ leaseToken });
    expect(micros(job?.leaseExpiresAt) - micros(job?.startedAt)).toBe(SHORT_MICROS);
    expect((await stint.ack({ leaseToken })).job?.state).toBe(JobState.SUCCEEDED);
  });
});

describe.concurrent('schedule_to_close', () => {
  const timeouts = { scheduleToClose: short };
  const code = 'stint.timeout.schedule_to_close';

  const held: [string, (one: Scene) => Promise<{ jobId: string; leaseToken: string }>][] = [
    ['RUNNING', ({ enqueueAndClaim }) => enqueueAndClaim({ timeouts })],
    ['LEASED', ({ enqueueAndClaim }) => enqueueAndClaim({ timeouts }, { start: StartMode.EXPLICIT })],
  ];
  it.each(held)('fails a job that is %s: its token is lost at that instant', async (_state, hold) => {
    const one = scene();
    const { stint, later, terminal, isSound } = one;
    const { jobId, leaseToken } = await hold(one);
    await later(AFTER_SECONDS);
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    expect(await beat(one, leaseToken)).toMatchObject({ lost: { reason: LeaseLostReason.TIMED_OUT } });
    expect(await terminal(jobId)).toMatchObject({ state: JobState.FAILED, attempt: 1, failure: { code } });
    await isSound();
  });

  const waiting: [string, Parameters<typeof JobSpec.fromPartial>[0], (one: Scene) => Promise<unknown>][] = [
    ['READY', {}, async () => undefined],
    ['SCHEDULED', { runAt: fromNow(3_600) }, async () => undefined],
    [
      'RETRY_WAIT',
      {},
      async ({ stint, claimOne }) => stint.fail({ leaseToken: (await claimOne()).leaseToken, retryAfter: seconds(3_600) }),
    ],
    ['SUSPENDED', {}, async ({ stint, claimOne }) => stint.suspend({ leaseToken: (await claimOne()).leaseToken })],
    ['READY and owned outside', { disposition: Disposition.EXTERNALLY_OWNED }, async () => undefined],
    ['SCHEDULED and owned outside', { disposition: Disposition.EXTERNALLY_OWNED, runAt: fromNow(3_600) }, async () => undefined],
  ];
  it.each(waiting)('fails a job that is %s', async (_state, spec, prepare) => {
    const one = scene();
    const { jobId, createdAt } = await one.enqueue({ timeouts, ...spec });
    await prepare(one);
    const ended = await one.terminal(jobId);
    expect(ended).toMatchObject({ state: JobState.FAILED, failure: { code } });
    expect(micros(ended.finishedAt) - micros(createdAt)).toBeGreaterThanOrEqual(SHORT_MICROS);
    expect((await one.events(jobId)).at(-1)).toMatchObject({
      type: 'failed',
      detail: { failed: { failure: { code }, deadLettered: true } },
    });
    await one.isSound();
  });

  it('counts from the start of each life', async () => {
    const { stint, namespace, enqueue, claimOne, terminal, isSound } = scene();
    const { jobId } = await enqueue({ timeouts });
    const first = await terminal(jobId);
    await stint.retryJob({ namespace, jobId });
    const { leaseToken, job } = await claimOne();
    expect(micros(job.leaseExpiresAt)).toBeGreaterThan(micros(first.finishedAt) + SHORT_MICROS);
    expect((await stint.ack({ leaseToken })).job).toMatchObject({ state: JobState.SUCCEEDED, life: 2 });
    await isSound();
  });
});

describe('a timeout', () => {
  const names = ['scheduleToStart', 'startToClose', 'scheduleToClose'] as const;
  const paths = { scheduleToStart: 'schedule_to_start', startToClose: 'start_to_close', scheduleToClose: 'schedule_to_close' };
  const values = [seconds(0), { seconds: -1n, nanos: 0 }, seconds(367 * 86_400), { seconds: 1n, nanos: 1_000_000_000 }];

  it.each(names)('%s is refused by name if it is out of its bounds', async (name) => {
    for (const value of values) {
      const { violations } = await refusal(scene().enqueue({ timeouts: { [name]: value } }));
      expect(violations.map(({ field }) => field)).toEqual([`job.timeouts.${paths[name]}`]);
    }
  });

  it.each(names)('%s may be from 1 ms to 366 days', async (name) => {
    for (const value of [seconds(0.001), seconds(366 * 86_400)]) {
      expect(await scene().enqueue({ timeouts: { [name]: value } })).toMatchObject({ state: JobState.READY });
    }
  });

  it('of claims is refused for a job that is never claimed', async () => {
    const disposition = Disposition.EXTERNALLY_OWNED;
    const { violations } = await refusal(scene().enqueue({ disposition, timeouts: { scheduleToStart: short, startToClose: short } }));
    expect(violations.map(({ field }) => field)).toEqual(['job.timeouts.schedule_to_start', 'job.timeouts.start_to_close']);
  });

  it("that passes together with that of the life is the life's", async () => {
    const { enqueue, terminal } = scene();
    const both = seconds(0.1);
    const { jobId } = await enqueue({ timeouts: { scheduleToStart: both, scheduleToClose: both } });
    expect((await terminal(jobId)).failure?.code).toBe('stint.timeout.schedule_to_close');
  });
});
