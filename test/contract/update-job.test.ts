import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { type Scene, useService } from './scene.ts';
import { jobIn } from './standing.ts';
import { fromNow, micros, refusal, seconds } from './stint.ts';

const scene = useService();

/** Ids in the order in which they are claimed, all at once. */
async function claimAll({ claim }: Scene): Promise<(string | undefined)[]> {
  return (await claim({ maxJobs: 10 })).jobs.map(({ job }) => job?.jobId);
}

const PRIORITY = ['priority'];
const RUN_AT = ['run_at'];

describe('UpdateJob of a priority', () => {
  it('moves a job within the backlog; among equals its place stays', async () => {
    const one = scene();
    const { stint, namespace, queue, enqueue, events, isSound } = one;
    const [a, b, c, d] = [await enqueue(), await enqueue(), await enqueue(), await enqueue()];
    const answer = await stint.updateJob({ namespace, jobId: d.jobId, priority: 7, updateMask: PRIORITY });
    expect(answer.job).toMatchObject({ state: JobState.READY, priority: 7, lastSequence: 2n });
    await stint.updateJob({ namespace, jobId: c.jobId, priority: 7, updateMask: PRIORITY });
    await stint.updateJob({ namespace, jobId: a.jobId, priority: -1, updateMask: PRIORITY });
    expect((await events(d.jobId)).at(-1)).toMatchObject({
      type: 'updated',
      state: JobState.READY,
      detail: { $case: 'updated', updated: { priority: 7, runAt: undefined } },
    });
    const order = [c, d, b, a].map(({ jobId }) => jobId);
    const { jobs } = await stint.peekQueue({ namespace, queue });
    expect(jobs.map(({ jobId, priority }) => [jobId, priority])).toEqual(order.map((jobId, index) => [jobId, [7, 7, 0, -1][index]]));
    expect(await claimAll(one)).toEqual(order);
    await isSound();
  });

  it('told as it is already changes nothing but the history', async () => {
    const one = scene();
    const { stint, namespace, enqueue, eventTypes, isSound } = one;
    const [a, b] = [await enqueue({ priority: 3 }), await enqueue({ priority: 3 })];
    await stint.updateJob({ namespace, jobId: a.jobId, priority: 3, updateMask: PRIORITY });
    await stint.updateJob({ namespace, jobId: a.jobId, priority: 3, updateMask: PRIORITY });
    expect(await eventTypes(a.jobId)).toEqual(['enqueued', 'updated', 'updated']);
    expect(await claimAll(one)).toEqual([a.jobId, b.jobId]);
    await isSound();
  });

  it.each(['SCHEDULED', 'RETRY_WAIT', 'SUSPENDED'] as const)('of a job that is %s holds once it is READY', async (state) => {
    const one = scene();
    const { stint, namespace, enqueue, job, isSound } = one;
    const { jobId } = await jobIn(one, state);
    const before = await job(jobId);
    const { job: updated } = await stint.updateJob({ namespace, jobId, priority: 5, updateMask: PRIORITY });
    expect(updated).toEqual({ ...before, priority: 5, lastSequence: before.lastSequence + 1n });
    const other = await enqueue();
    if (state === 'SUSPENDED') await stint.resumeJob({ namespace, jobId });
    else await stint.updateJob({ namespace, jobId, updateMask: RUN_AT });
    expect(await claimAll(one)).toEqual([jobId, other.jobId]);
    await isSound();
  });

  it('holds through a try that fails', async () => {
    const one = scene();
    const { stint, namespace, enqueue, claimOne, job } = one;
    const { jobId } = await enqueue();
    await stint.updateJob({ namespace, jobId, priority: 5, updateMask: PRIORITY });
    const { leaseToken, job: claimed } = await claimOne();
    expect(claimed.priority).toBe(5);
    await stint.fail({ leaseToken, retryAfter: seconds(0) });
    await enqueue({ priority: 4 });
    const again = await claimOne();
    if (again.jobId !== jobId) await claimOne();
    expect((await job(jobId)).priority).toBe(5);
  });
});

describe('UpdateJob of a time', () => {
  it('defers a READY job, and brings it back at once where unset', async () => {
    const one = scene();
    const { stint, namespace, enqueue, claim, events, isSound } = one;
    const { jobId } = await enqueue();
    const runAt = fromNow(3_600);
    const deferred = await stint.updateJob({ namespace, jobId, runAt, updateMask: RUN_AT });
    expect(deferred.job?.state).toBe(JobState.SCHEDULED);
    expect(micros(deferred.job?.runAt)).toBeCloseTo(micros(runAt), -1);
    expect((await claim()).jobs).toEqual([]);
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'updated',
      state: JobState.SCHEDULED,
      detail: { updated: { priority: undefined, runAt: deferred.job?.runAt } },
    });
    const back = await stint.updateJob({ namespace, jobId, updateMask: RUN_AT });
    expect(back.job).toMatchObject({ state: JobState.READY });
    expect((await events(jobId)).at(-1)).toMatchObject({ type: 'updated', state: JobState.READY });
    expect(await claimAll(one)).toEqual([jobId]);
    await isSound();
  });

  it('that lies in the past means at once, at a new place', async () => {
    const one = scene();
    const { stint, namespace, enqueue, isSound } = one;
    const scheduled = await enqueue({ runAt: fromNow(3_600) });
    const ready = await enqueue();
    const { job } = await stint.updateJob({ namespace, jobId: scheduled.jobId, runAt: fromNow(-60), updateMask: RUN_AT });
    expect(job?.state).toBe(JobState.READY);
    expect(await claimAll(one)).toEqual([ready.jobId, scheduled.jobId]);
    await isSound();
  });

  it('of a READY job for at once leaves its place', async () => {
    const one = scene();
    const { stint, namespace, enqueue, isSound } = one;
    const [a, b] = [await enqueue(), await enqueue()];
    expect((await stint.updateJob({ namespace, jobId: a.jobId, updateMask: RUN_AT })).job?.state).toBe(JobState.READY);
    expect(await claimAll(one)).toEqual([a.jobId, b.jobId]);
    await isSound();
  });

  it('moves a scheduled job nearer, and it is due then', async () => {
    const { stint, namespace, enqueue, claimOne, eventTypes } = scene();
    const { jobId } = await enqueue({ runAt: fromNow(3_600) });
    await stint.updateJob({ namespace, jobId, runAt: fromNow(0.2), updateMask: RUN_AT });
    expect((await claimOne()).jobId).toBe(jobId);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'updated', 'ready', 'claimed', 'started']);
  });

  it('moves the next try of a job that failed', async () => {
    const one = scene();
    const { stint, namespace, claimOne, isSound } = one;
    const { jobId } = await jobIn(one, 'RETRY_WAIT');
    const runAt = fromNow(7_200);
    const later = await stint.updateJob({ namespace, jobId, runAt, updateMask: RUN_AT });
    expect(later.job?.state).toBe(JobState.RETRY_WAIT);
    expect(micros(later.job?.runAt)).toBeCloseTo(micros(runAt), -1);
    const waiting = claimOne();
    expect((await stint.updateJob({ namespace, jobId, updateMask: RUN_AT })).job?.state).toBe(JobState.READY);
    expect(await waiting).toMatchObject({ jobId, job: { attempt: 3 } });
    await isSound();
  });

  it('comes together with a priority', async () => {
    const { stint, namespace, enqueue, events } = scene();
    const { jobId } = await enqueue();
    const { job } = await stint.updateJob({ namespace, jobId, priority: 9, runAt: fromNow(60), updateMask: ['run_at', 'priority'] });
    expect(job).toMatchObject({ state: JobState.SCHEDULED, priority: 9 });
    expect((await events(jobId)).at(-1)?.detail).toMatchObject({ updated: { priority: 9, runAt: job?.runAt } });
  });

  it('is refused for a suspended job, which has none', async () => {
    const one = scene();
    const { stint, namespace, picture } = one;
    const { jobId } = await jobIn(one, 'SUSPENDED');
    const before = await picture(jobId);
    const { info } = await refusal(stint.updateJob({ namespace, jobId, priority: 1, updateMask: ['priority', 'run_at'] }));
    expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state: 'SUSPENDED', action: 'update' } });
    expect(await picture(jobId)).toEqual(before);
  });
});

describe('UpdateJob', () => {
  it('changes what the mask names, and nothing else', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId, runAt } = await enqueue({ priority: 2, runAt: fromNow(3_600) });
    const first = await stint.updateJob({ namespace, jobId, priority: 8, runAt: fromNow(60), updateMask: PRIORITY });
    expect(first.job).toMatchObject({ priority: 8, runAt });
    const second = await stint.updateJob({ namespace, jobId, priority: 1, runAt: fromNow(60), updateMask: RUN_AT });
    expect(second.job?.priority).toBe(8);
    expect(micros(second.job?.runAt)).toBeLessThan(micros(runAt));
  });

  it.each([
    ['update_mask', { priority: 1 }],
    ['update_mask', { priority: 1, updateMask: ['priority', 'payload'] }],
    ['update_mask', { priority: 1, updateMask: ['*'] }],
    ['run_at', { runAt: { seconds: -1n, nanos: 0 }, updateMask: RUN_AT }],
    ['run_at', { runAt: { seconds: 1n, nanos: -1 }, updateMask: RUN_AT }],
    ['run_at', { runAt: seconds(1e11), updateMask: RUN_AT }],
  ])('refuses a bad %s by name (%#)', async (field, change) => {
    const { stint, namespace, enqueue, picture } = scene();
    const { jobId } = await enqueue();
    const before = await picture(jobId);
    const { info, violations } = await refusal(stint.updateJob({ namespace, jobId, ...change }));
    expect([info?.reason, violations.map((one) => one.field)]).toEqual(['INVALID_FIELD', [field]]);
    expect(await picture(jobId)).toEqual(before);
  });
});
