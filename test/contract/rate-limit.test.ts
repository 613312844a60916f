/** `rate_limit`: a burst at once, then so many claims in each period; whoever waits gets the next as soon as there is one. */
import { describe, expect, it } from 'vitest';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { parked } from './parked.ts';
import { type Scene, useService } from './scene.ts';
import { fromNow, held, seconds } from './stint.ts';

const scene = useService();

const { BACKPRESSURE, EMPTY } = ClaimDecision;

type RateLimit = Exclude<Exclude<Parameters<Scene['stint']['putQueue']>[0]['queue'], undefined>['rateLimit'], undefined>;

/** Next to nothing comes after the burst while a test lasts. */
const NEVER = seconds(86_400);

const put = ({ stint, namespace, queue }: Scene, rateLimit: RateLimit | undefined) =>
  stint.putQueue({ namespace, queue: { name: queue, rateLimit }, updateMask: ['rate_limit'] });

async function limited(rateLimit: RateLimit, jobs: number): Promise<Scene> {
  const one = scene();
  await put(one, rateLimit);
  for (let count = 0; count < jobs; count += 1) await one.enqueue();
  return one;
}

describe('a queue with a rate limit', () => {
  it('gives a burst at once, and no more', async () => {
    const one = await limited({ permits: 1, period: NEVER, burst: 5 }, 8);
    expect((await one.claim({ maxJobs: 3 })).jobs).toHaveLength(3);
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => one.claim({ workerId: `w-${n}` })));
    expect(answers.flatMap(({ jobs }) => jobs)).toHaveLength(2);
    expect(answers.filter(({ decision }) => decision === BACKPRESSURE)).toHaveLength(8);
    await one.isSound();
  });

  it('gives as many at once as in a period, where no burst is said', async () => {
    const one = await limited({ permits: 3, period: NEVER }, 5);
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(3);
    expect(await one.claim({ wait: seconds(0.1) })).toEqual({ jobs: [], decision: BACKPRESSURE });
  });

  it('is EMPTY where nothing waits for a permit', async () => {
    const one = await limited({ permits: 1, period: NEVER }, 1);
    await one.claimOne();
    expect((await one.claim()).decision).toBe(EMPTY);
    await one.enqueue({ runAt: fromNow(3_600) });
    expect((await one.claim()).decision).toBe(EMPTY);
  });

  it('counts claims: what comes back early has spent its permit', async () => {
    const one = await limited({ permits: 2, period: NEVER }, 2);
    for (const { leaseToken } of (await one.claim({ maxJobs: 10 })).jobs.map(held)) await one.stint.release({ leaseToken });
    expect(await one.claim()).toEqual({ jobs: [], decision: BACKPRESSURE });
    await one.isSound();
  });

  it('keeps no other queue back that the same claim names', async () => {
    const one = await limited({ permits: 1, period: NEVER }, 3);
    for (let count = 0; count < 3; count += 1) await one.enqueue({ queue: 'other' });
    const { jobs } = await one.claim({ queues: [one.queue, 'other'], maxJobs: 10 });
    expect(jobs.map(({ job }) => job?.queue).toSorted()).toEqual(['other', 'other', 'other', one.queue]);
    await one.isSound();
  });

  it('is bounded by max_in_flight too', async () => {
    const one = await limited({ permits: 3, period: NEVER }, 6);
    await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue, maxInFlight: 2 }, updateMask: ['max_in_flight'] });
    const jobs = (await one.claim({ maxJobs: 10 })).jobs.map(held);
    expect(jobs).toHaveLength(2);
    for (const { leaseToken } of jobs) await one.stint.ack({ leaseToken });
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(1);
    expect((await one.claim()).decision).toBe(BACKPRESSURE);
    await one.isSound();
  });
});

describe('a claim that waits for a permit', () => {
  it('gets a job as soon as the bucket has one, again and again', async () => {
    const one = await limited({ permits: 2, period: seconds(1), burst: 3 }, 6);
    const begun = performance.now();
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(3);
    const gaps: number[] = [];
    while (gaps.length < 3) {
      const { jobs } = await one.claim({ maxJobs: 10, wait: seconds(4) });
      expect(jobs).toHaveLength(1);
      gaps.push(performance.now() - begun);
    }
    // The bucket runs by the database's clock, which began before the answer came.
    gaps.forEach((gap, index) => expect(gap).toBeGreaterThan((index + 1) * 500 - 100));
    expect(gaps.at(-1)).toBeLessThan(8_000);
    await one.isSound();
  });

  it('shares with all who wait', async () => {
    const one = await limited({ permits: 5, period: seconds(1), burst: 1 }, 4);
    const answers = await Promise.all(Array.from({ length: 4 }, (_, n) => one.claim({ workerId: `w-${n}`, wait: seconds(4) })));
    expect(answers.map(({ jobs }) => jobs.length)).toEqual([1, 1, 1, 1]);
    await one.isSound();
  });
});

describe('a rate limit', () => {
  it.each<[string, RateLimit | undefined, number]>([
    ['becomes another', { permits: 3, period: NEVER }, 3],
    ['is removed', undefined, 4],
  ])('that %s begins anew, at once', async (_what, rateLimit, more) => {
    const one = await limited({ permits: 1, period: NEVER }, 5);
    await one.claimOne();
    const waiting = await parked(one, { maxJobs: 10 });
    await put(one, rateLimit);
    expect((await waiting.answer).jobs).toHaveLength(more);
    await one.isSound();
  });

  it('that is put again as it was keeps what it has spent', async () => {
    const one = await limited({ permits: 2, period: NEVER }, 5);
    await one.claimOne();
    await put(one, { permits: 2, period: NEVER, burst: 2 });
    await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue, maxInFlight: 100 }, updateMask: ['max_in_flight'] });
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(1);
    expect((await one.claim()).decision).toBe(BACKPRESSURE);
  });
});
