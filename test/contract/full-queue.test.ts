/** `max_queued`: what it counts, whom it refuses and how, and what it always takes. */
import { describe, expect, it } from 'vitest';
import type { EnqueueResult } from '../../gen/stint/v1/job_service.ts';
import { JobState } from '../../gen/stint/v1/job.ts';
import { failedJob, letters } from './failed-jobs.ts';
import { type Scene, useService } from './scene.ts';
import { jobIn, STATES, type StateName } from './standing.ts';
import { itemReason, micros, reasonOf, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

const SATURATED = 'RESOURCE_EXHAUSTED/QUEUE_SATURATED';

const bound = ({ stint, namespace, queue }: Scene, maxQueued: number | undefined) =>
  stint.putQueue({ namespace, queue: { name: queue, maxQueued }, updateMask: ['max_queued'] });

const tell = (one: EnqueueResult) =>
  one.result?.$case === 'error' ? itemReason(one.result.error) : one.deduplicated ? 'deduplicated' : 'new';

/** A scene whose queue lets in so many. */
async function bounded(maxQueued: number): Promise<Scene> {
  const one = scene();
  await bound(one, maxQueued);
  return one;
}

describe('a full queue', () => {
  it('refuses Enqueue, and tells how full it is and when to come again', async () => {
    const one = await bounded(2);
    const { namespace, queue, enqueue } = one;
    await enqueue();
    await enqueue();
    const { info, names, retryDelay } = await refusal(enqueue());
    expect(info).toMatchObject({ reason: 'QUEUE_SATURATED', domain: 'stint', metadata: { namespace, queue, depth: '2', limit: '2' } });
    expect(names).toEqual(['ErrorInfo', 'RetryInfo', 'QuotaFailure']);
    expect(retryDelay).toEqual(seconds(5));
    expect(await reasonOf(enqueue())).toBe(SATURATED);
    await one.claimOne();
    await enqueue();
    expect(await reasonOf(enqueue())).toBe(SATURATED);
    await one.isSound();
  });

  it('lets in as many as there is room for, of however many who ask at once', async () => {
    const one = await bounded(10);
    const answers = await Promise.allSettled(Array.from({ length: 40 }, () => one.enqueue()));
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect((await one.claim({ maxJobs: 100 })).jobs).toHaveLength(10);
    await one.isSound();
  });

  it('refuses items of a batch one by one, and no item of another queue', async () => {
    const one = await bounded(2);
    const { stint, namespace, queue } = one;
    const jobs = [queue, 'other', queue, 'other', queue, 'other'].map((name) => ({ queue: name }));
    const { results } = await stint.enqueueBatch({ namespace, jobs });
    expect(results.map(tell)).toEqual(['new', 'new', 'new', 'new', SATURATED, 'new']);
    expect((await one.claim({ maxJobs: 10 })).jobs.map(({ job }) => job?.jobId)).toEqual(
      [results[0], results[2]].map((result) => (result?.result?.$case === 'job' ? result.result.job.jobId : '')),
    );
    await one.isSound();
  });

  it('refuses an atomic batch as a whole', async () => {
    const one = await bounded(2);
    const { stint, namespace, queue } = one;
    const batch = (count: number) =>
      stint.enqueueBatch({ namespace, atomic: true, jobs: [{ queue: 'other' }, ...Array.from({ length: count }, () => ({ queue }))] });
    expect(await reasonOf(batch(3))).toBe(SATURATED);
    expect((await one.claim({ queues: [queue, 'other'], maxJobs: 10 })).jobs).toEqual([]);
    expect((await batch(2)).results.map(tell)).toEqual(['new', 'new', 'new']);
    expect(await reasonOf(batch(1))).toBe(SATURATED);
    await one.isSound();
  });

  it('answers for what is there already', async () => {
    const one = await bounded(1);
    const { stint, namespace, queue } = one;
    const [byKey, byId] = [
      { queue, type: 'test', idempotencyKey: 'k' },
      { queue: 'aside', jobId: uuidV7() },
    ];
    const { job } = await stint.enqueue({ namespace, job: byKey });
    expect(await stint.enqueue({ namespace, job: byKey })).toEqual({ job, deduplicated: true });
    expect(await reasonOf(stint.enqueue({ namespace, job: { ...byKey, type: 'other' } }))).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
    await stint.enqueue({ namespace, job: byId });
    const { results } = await stint.enqueueBatch({ namespace, jobs: [byKey, { queue }, byId, byKey] });
    expect(results.map(tell)).toEqual(['deduplicated', SATURATED, 'deduplicated', 'deduplicated']);
    const again = await stint.enqueueBatch({ namespace, atomic: true, jobs: [byKey, byKey] });
    expect(again.results.map(tell)).toEqual(['deduplicated', 'deduplicated']);
    await one.isSound();
  });

  it('loses no place to what is there already', async () => {
    const one = await bounded(3);
    const { stint, namespace, queue } = one;
    await one.enqueue({ idempotencyKey: 'k' });
    const keyed = { queue, type: 'test', idempotencyKey: 'k' };
    const twin = { queue, type: 'test', idempotencyKey: 'twin' };
    const jobs = [keyed, keyed, twin, twin, { queue }, { queue }];
    const { results } = await stint.enqueueBatch({ namespace, jobs });
    expect(results.map(tell)).toEqual(['deduplicated', 'deduplicated', 'new', 'deduplicated', 'new', SATURATED]);
    await one.isSound();
  });

  it('refuses RetryJob, and takes it once there is room', async () => {
    const one = await bounded(1);
    const { stint, namespace, job } = one;
    const { jobId } = await failedJob(one);
    const next = await one.enqueue();
    expect((await refusal(stint.retryJob({ namespace, jobId, requestId: 'r' }))).info).toMatchObject({
      reason: 'QUEUE_SATURATED',
      metadata: { depth: '1', limit: '1' },
    });
    expect(await job(jobId)).toMatchObject({ state: JobState.FAILED, life: 1 });
    expect((await one.claimOne()).jobId).toBe(next.jobId);
    expect((await stint.retryJob({ namespace, jobId, requestId: 'r' })).job).toMatchObject({ state: JobState.READY, life: 2 });
    await one.isSound();
  });

  it('refuses records of ReplayDeadLetters one by one', async () => {
    const one = await bounded(2);
    const { stint, namespace } = one;
    const failed: string[] = [];
    while (failed.length < 3) failed.push((await failedJob(one)).deadLetterId);
    const { results } = await stint.replayDeadLetters({ namespace, deadLetterIds: failed });
    const told = results.map(({ result }) => (result?.$case === 'error' ? itemReason(result.error) : 'done'));
    expect(told.toSorted()).toEqual([SATURATED, 'done', 'done']);
    expect(await letters(one)).toHaveLength(1);
    await one.isSound();
  });
});

/** Whether a job in this state waits. */
const WAITS: Record<StateName, boolean> = {
  ...{ SCHEDULED: true, READY: true, RETRY_WAIT: true, SUSPENDED: true },
  ...{ LEASED: false, RUNNING: false, SUCCEEDED: false, FAILED: false, CANCELLED: false, ABANDONED: false },
};

describe.each(STATES)('a job that is %s', (state) => {
  it(`${WAITS[state] ? 'takes' : 'leaves'} a place, also where the bound comes after it`, async () => {
    for (const boundFirst of [true, false]) {
      const one = scene();
      if (boundFirst) await bound(one, 1);
      await jobIn(one, state);
      await bound(one, 1);
      const enqueued = one.enqueue().then(
        () => 'let in',
        async () => 'refused',
      );
      expect(await enqueued).toBe(WAITS[state] ? 'refused' : 'let in');
      await one.isSound();
    }
  });
});

describe('a full queue takes', () => {
  const COMES_BACK: readonly (readonly [string, JobState, (one: Scene, leaseToken: string) => Promise<unknown>])[] = [
    ['what is released', JobState.READY, ({ stint }, leaseToken) => stint.release({ leaseToken })],
    ['what is released until later', JobState.SCHEDULED, ({ stint }, leaseToken) => stint.release({ leaseToken, delay: seconds(60) })],
    ['what is retried', JobState.RETRY_WAIT, ({ stint }, leaseToken) => stint.fail({ leaseToken, retryAfter: seconds(60) })],
    ['what is suspended', JobState.SUSPENDED, ({ stint }, leaseToken) => stint.suspend({ leaseToken })],
  ];

  it.each(COMES_BACK)('%s, and stands above its bound', async (_what, state, giveBack) => {
    const one = await bounded(1);
    const { jobId, leaseToken } = await one.enqueueAndClaim();
    await one.enqueue();
    await giveBack(one, leaseToken);
    expect((await one.job(jobId)).state).toBe(state);
    expect((await refusal(one.enqueue())).info?.metadata).toMatchObject({ depth: '2', limit: '1' });
    await one.isSound();
  });

  it('what it resumes, and what its own time makes READY', async () => {
    const one = await bounded(1);
    const { stint, namespace } = one;
    const { jobId, leaseToken } = await one.enqueueAndClaim();
    await one.enqueue();
    await stint.suspend({ leaseToken });
    expect((await stint.resumeJob({ namespace, jobId })).job?.state).toBe(JobState.READY);
    const { leaseToken: second } = await one.claimOne();
    await stint.fail({ leaseToken: second, retryAfter: seconds(0.1) });
    await one.later(0.2);
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(2);
    await one.isSound();
  });

  it('dead-letter copies', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await stint.putQueue({ namespace, queue: { name: 'dead', maxQueued: 1 } });
    await stint.putQueue({ namespace, queue: { name: queue, deadLetter: { queue: 'dead' } } });
    await failedJob(one);
    await failedJob(one);
    expect((await refusal(one.enqueue({ queue: 'dead' }))).info?.metadata).toMatchObject({ depth: '2', limit: '1' });
    expect((await one.claim({ queues: ['dead'], maxJobs: 10 })).jobs).toHaveLength(2);
    await one.isSound();
  });
});

describe('a max_queued', () => {
  it('put below what waits takes nothing away; raised or removed it lets in again', async () => {
    const one = scene();
    for (let count = 0; count < 3; count += 1) await one.enqueue();
    await bound(one, 2);
    expect((await refusal(one.enqueue())).info?.metadata).toMatchObject({ depth: '3', limit: '2' });
    await bound(one, 4);
    await one.enqueue();
    expect(await reasonOf(one.enqueue())).toBe(SATURATED);
    await bound(one, undefined);
    await one.enqueue();
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(5);
    await one.isSound();
  });
});

it('the time until which to come again follows how fast the queue is claimed from', async () => {
  const one = await bounded(20);
  const { stint, namespace, queue } = one;
  await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 20 }, () => ({ queue })) });
  const retryAfterMs = async () => micros((await refusal(one.enqueue())).retryDelay) / 1_000;
  expect(await retryAfterMs()).toBe(5_000);
  const { jobs } = await one.claim({ maxJobs: 10 });
  await stint.settle({
    settlements: jobs.map(({ lease }) => ({ leaseToken: lease?.leaseToken ?? '', action: { $case: 'release', release: {} } })),
  });
  const fast = await retryAfterMs();
  expect(fast).toBeGreaterThanOrEqual(100);
  expect(fast).toBeLessThan(1_000);
});
