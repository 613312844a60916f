/** What operators and batches do to jobs that wait for a place of their key: no place is lost, none is taken twice. */
import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { failedJob } from './failed-jobs.ts';
import { type Scene, useService } from './scene.ts';
import { reasonOf } from './stint.ts';

const scene = useService();

const { BLOCKED, CANCELLED, READY, RUNNING, SUCCEEDED } = JobState;

const times = (count: number, state: JobState) => Array.from({ length: count }, () => state);

const keyed = (one: Scene, count: number) => Promise.all(Array.from({ length: count }, () => one.enqueue({ concurrencyKey: 'k' })));

/** The states of all jobs of the queue, in the order of the enum. */
async function states({ stint, namespace, queue }: Scene): Promise<readonly JobState[]> {
  const { jobs } = await stint.listJobs({ namespace, queue, pageSize: 1_000 });
  return jobs.map(({ state }) => state).toSorted((a, b) => a - b);
}

/** Claims and acks one after the other, until nothing is given; never two of the key at once. */
async function work(one: Scene): Promise<number> {
  for (let done = 0; ; done += 1) {
    const { jobs } = await one.claim({ maxJobs: 10 });
    if (jobs.length === 0) return done;
    expect(jobs).toHaveLength(1);
    await one.stint.ack({ leaseToken: jobs[0]?.lease?.leaseToken ?? '' });
  }
}

describe('jobs of one key', () => {
  it('are cancelled and retried by filter: those in flight keep their place, the others wait for it', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await keyed(one, 6);
    const { leaseToken, jobId } = await one.claimOne();
    await stint.cancelJobs({ namespace, filter: { queue, states: [BLOCKED, READY] }, reason: 'test' });
    expect(await states(one)).toEqual([RUNNING, ...times(5, CANCELLED)]);
    await one.isSound();
    await stint.retryJobs({ namespace, filter: { queue, states: [CANCELLED] }, reason: 'test' });
    expect(await states(one)).toEqual([...times(5, BLOCKED), RUNNING]);
    expect((await one.claim({ maxJobs: 10 })).jobs).toEqual([]);
    await stint.ack({ leaseToken });
    expect(await states(one)).toEqual([...times(4, BLOCKED), READY, SUCCEEDED]);
    expect(await work(one)).toBe(5);
    expect((await one.job(jobId)).state).toBe(SUCCEEDED);
    await one.isSound();
  });

  it('have one place also where the READY one is cancelled: the next one is READY with the answer', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const [first, second, third] = [
      await one.enqueue({ concurrencyKey: 'k' }),
      await one.enqueue({ concurrencyKey: 'k' }),
      await one.enqueue({ concurrencyKey: 'k' }),
    ];
    await stint.cancelJob({ namespace, jobId: first.jobId, reason: 'test' });
    expect([await one.job(second.jobId), await one.job(third.jobId)].map(({ state }) => state)).toEqual([READY, BLOCKED]);
    await stint.cancelJob({ namespace, jobId: third.jobId, reason: 'test' });
    expect(await work(one)).toBe(1);
    await one.isSound();
  });

  it('are dead letters like any, and wait for their key when they are replayed', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const failed = [await failedJob(one, { concurrencyKey: 'k' }), await failedJob(one, { concurrencyKey: 'k' })];
    const { leaseToken } = await one.enqueueAndClaim({ concurrencyKey: 'k' });
    await stint.replayDeadLetters({ namespace, deadLetterIds: failed.map(({ deadLetterId }) => deadLetterId), reason: 'mended' });
    expect(await states(one)).toEqual([BLOCKED, BLOCKED, RUNNING]);
    await stint.ack({ leaseToken });
    expect(await work(one)).toBe(2);
    expect(await states(one)).toEqual(times(3, SUCCEEDED));
    await one.isSound();
  });

  it('come in atomic batches: one is READY, or none is there', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await stint.putQueue({ namespace, queue: { name: queue, maxQueued: 4 } });
    const jobs = Array.from({ length: 3 }, () => ({ queue, type: 'test', concurrencyKey: 'k' }));
    await stint.enqueueBatch({ namespace, jobs, atomic: true });
    expect(await states(one)).toEqual([BLOCKED, BLOCKED, READY]);
    expect(await reasonOf(stint.enqueueBatch({ namespace, jobs, atomic: true }))).toBe('RESOURCE_EXHAUSTED/QUEUE_SATURATED');
    expect(await states(one)).toEqual([BLOCKED, BLOCKED, READY]);
    expect(await work(one)).toBe(3);
    await one.isSound();
  });

  it('are waited for by a drain of the backlog, the BLOCKED ones too', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await keyed(one, 3);
    await stint.applyAction({ namespace, queue, action: OperatorAction.DRAIN_BACKLOG, reason: 'test' });
    const waiting = stint.waitDrained({ namespace, queue }, 15_000);
    expect(await waiting.next()).toMatchObject({ drained: false, jobs: { ready: 1n, blocked: 2n } });
    expect(await work(one)).toBe(3);
    expect((await waiting.rest()).at(-1)).toMatchObject({ drained: true, jobs: { ready: 0n, blocked: 0n, running: 0n } });
    await one.isSound();
  });

  it('give the same signature by the same history', async () => {
    const signatures = [scene(), scene()].map(async (one) => {
      const { stint, namespace, queue } = one;
      for (const id of ['0', '1', '2']) await one.enqueue({ concurrencyKey: 'k', idempotencyKey: id });
      const { leaseToken } = await one.claimOne();
      await stint.release({ leaseToken });
      const again = await one.claimOne();
      expect(again.job.state).toBe(RUNNING);
      await stint.ack({ leaseToken: again.leaseToken });
      return (await stint.getSignature({ namespace, queue })).signature;
    });
    const [first, second] = await Promise.all(signatures);
    expect(first).toEqual(second);
    expect(first?.length).toBeGreaterThan(0);
  });
});
