/** Concurrency keys: at most so many jobs of one key in flight, the best of those that wait first. */
import { describe, expect, it } from 'vitest';
import { Disposition, JobState } from '../../gen/stint/v1/job.ts';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { reasonOf } from './stint.ts';

const scene = useService();

const { EMPTY } = ClaimDecision;
const { BLOCKED, READY } = JobState;

const stateOf = async (one: Scene, jobId: string) => (await one.stint.getJob({ namespace: one.namespace, jobId })).job?.state;

/** Ids of what one claim gives. */
async function claimed(one: Scene, maxJobs = 10): Promise<readonly (string | undefined)[]> {
  return (await one.claim({ maxJobs })).jobs.map(({ job }) => job?.jobId);
}

describe('a concurrency key', () => {
  it('has one job in flight, and the next is READY once that is over', async () => {
    const one = scene();
    const first = await one.enqueue({ concurrencyKey: 'k' });
    const second = await one.enqueue({ concurrencyKey: 'k' });
    const other = await one.enqueue({ concurrencyKey: 'other' });
    const free = await one.enqueue();
    expect([first, second, other, free].map(({ state }) => state)).toEqual([READY, BLOCKED, READY, READY]);
    expect(second).toMatchObject({ concurrencyKey: 'k', waitingOn: { concurrencyKey: 'k' } });
    const { jobs } = await one.claim({ maxJobs: 10 });
    expect(jobs.map(({ job }) => job?.jobId)).toEqual([first.jobId, other.jobId, free.jobId]);
    expect(await one.claim()).toEqual({ jobs: [], decision: EMPTY });
    await one.stint.ack({ leaseToken: jobs[0]?.lease?.leaseToken ?? '' });
    expect(await stateOf(one, second.jobId)).toBe(READY);
    expect(await claimed(one)).toEqual([second.jobId]);
    await one.isSound();
  });

  it('is served by priority, and within it in order', async () => {
    const one = scene();
    const ids: string[] = [];
    for (const priority of [0, 5, 0, 10, 5]) ids.push((await one.enqueue({ concurrencyKey: 'k', priority })).jobId);
    const served: (string | undefined)[] = [];
    for (let n = 0; n < ids.length; n += 1) {
      const { jobs } = await one.claim({ maxJobs: 10 });
      served.push(...jobs.map(({ job }) => job?.jobId));
      await one.stint.ack({ leaseToken: jobs[0]?.lease?.leaseToken ?? '' });
    }
    expect(served).toEqual([3, 1, 4, 0, 2].map((n) => ids[n]));
    await one.isSound();
  });
});

describe('a job with a concurrency key', () => {
  it('is another job than one with another key, or with none', async () => {
    const one = scene();
    const spec = { queue: one.queue, idempotencyKey: 'i' };
    const { jobId } = await one.enqueue({ ...spec, concurrencyKey: 'k' });
    expect(await one.enqueue({ ...spec, concurrencyKey: 'k' })).toMatchObject({ jobId });
    for (const concurrencyKey of ['', 'other'])
      expect(await reasonOf(one.enqueue({ ...spec, concurrencyKey }))).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
  });

  it.each([
    ['of an external owner', { concurrencyKey: 'k', disposition: Disposition.EXTERNALLY_OWNED }],
    ['that is too long', { concurrencyKey: 'k'.repeat(257) }],
  ])('is refused by its field: %s', async (_, spec) => {
    const one = scene();
    expect(await reasonOf(one.enqueue(spec))).toBe('INVALID_ARGUMENT/INVALID_FIELD');
  });

  it('is listed, counted and told as BLOCKED, with a history that its stream tells too', async () => {
    const one = scene();
    const { namespace, queue, stint } = one;
    const [first, second] = [await one.enqueue({ concurrencyKey: 'k' }), await one.enqueue({ concurrencyKey: 'k' })];
    const { jobs } = await stint.listJobs({ namespace, queue, states: [BLOCKED] });
    expect(jobs.map(({ jobId }) => jobId)).toEqual([second.jobId]);
    expect((await stint.peekQueue({ namespace, queue })).jobs.map(({ jobId }) => jobId)).toEqual([first.jobId]);
    await stint.putQueue({ namespace, queue: { name: queue, maxQueued: 2 } });
    expect(await reasonOf(one.enqueue({ concurrencyKey: 'k' }))).toBe('RESOURCE_EXHAUSTED/QUEUE_SATURATED');
    const [held] = (await one.claim()).jobs;
    await stint.release({ leaseToken: held?.lease?.leaseToken ?? '' });
    for (const { jobId } of [first, second]) {
      const [again] = (await one.claim({ maxJobs: 5 })).jobs;
      expect(again?.job?.jobId).toBe(jobId);
      await stint.ack({ leaseToken: again?.lease?.leaseToken ?? '' });
    }
    expect(await one.eventTypes(second.jobId)).toEqual(['enqueued', 'ready', 'claimed', 'started', 'succeeded']);
    expect(await one.eventTypes(first.jobId)).toEqual([
      ...['enqueued', 'ready', 'claimed', 'started', 'released', 'ready', 'claimed', 'started', 'succeeded'],
    ]);
    await one.isSound();
  });
});
