/** What a PutQueue sets is in force when it is answered, for jobs that were there before as well, whichever replica is asked next. */
import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import type { Queue } from '../../gen/stint/v1/queue.ts';
import { failedJob, letters, onlyOne } from './failed-jobs.ts';
import { type Scene, useService } from './scene.ts';
import { micros, reasonOf, seconds } from './stint.ts';

const scene = useService();

/** Whoever is asked next may be another replica: each is asked as often as the others. */
const ASKED = 3;

const put = ({ stint, namespace, queue }: Scene, told: Parameters<typeof Queue.fromPartial>[0]) =>
  stint.putQueue({ namespace, queue: { name: queue, ...told } });

const consequenceOf = async ({ stint }: Scene, leaseToken: string, code = 'bad') =>
  (await stint.fail({ leaseToken, failure: { code } })).consequence;

describe('what PutQueue sets is in force at once', () => {
  it('lease_duration, for the next claim that does not say', async () => {
    const one = scene();
    await one.enqueueAndClaim();
    for (let count = 1; count <= ASKED; count += 1) {
      await put(one, { leaseDuration: seconds(60 * count) });
      const { claimed } = await one.enqueueAndClaim();
      expect(claimed.lease?.ttl).toEqual(seconds(60 * count));
    }
    const { claimed } = await one.enqueueAndClaim({}, { leaseDuration: seconds(7) });
    expect(claimed.lease?.ttl).toEqual(seconds(7));
  });

  it('lease_grace, for the next lease', async () => {
    const one = scene();
    const leaseFor = async (graceSeconds: number) => {
      await put(one, { leaseGrace: seconds(graceSeconds), leaseDuration: seconds(1) });
      return (await one.enqueueAndClaim()).leaseToken;
    };
    const [without, withGrace] = [await leaseFor(0), await leaseFor(60)];
    await one.later(1.1);
    expect(await reasonOf(one.stint.ack({ leaseToken: without }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    expect((await one.stint.ack({ leaseToken: withGrace })).job?.state).toBe(JobState.SUCCEEDED);
  });

  it('cancellation_budget, for a job that is held already', async () => {
    const one = scene();
    const { jobId } = await one.enqueueAndClaim();
    await put(one, { cancellationBudget: seconds(0.1) });
    await one.stint.cancelJob({ namespace: one.namespace, jobId, reason: 'not wanted' });
    expect((await one.terminal(jobId)).state).toBe(JobState.CANCELLED);
  });

  it('retry, for what the jobs that are there leave unset', async () => {
    const one = scene();
    for (let count = 1; count <= ASKED; count += 1) {
      const { job, leaseToken } = await one.enqueueAndClaim();
      const [initialBackoff, maxBackoff] = [seconds(100 * count), seconds(1_000)];
      await put(one, { retry: { maxAttempts: 2, initialBackoff, maxBackoff, jitter: false } });
      const earliest = micros((await one.stint.getServerInfo({})).databaseTime);
      const consequence = await consequenceOf(one, leaseToken);
      if (consequence?.$case !== 'retryScheduled') throw new Error('not tried again');
      const delay = micros(consequence.retryScheduled.retryAt) - earliest;
      expect(delay).toBeGreaterThanOrEqual(100e6 * count);
      expect(delay).toBeLessThan(100e6 * count + 15e6);
      expect((await one.job(job.jobId)).maxAttempts).toBe(2);
    }
  });

  it('retry, and what a job says for itself goes before', async () => {
    const one = scene();
    const plain = await one.enqueueAndClaim();
    const own = await one.enqueueAndClaim({ retry: { maxAttempts: 5 } });
    await put(one, { retry: { maxAttempts: 1 } });
    expect((await consequenceOf(one, plain.leaseToken))?.$case).toBe('deadLettered');
    expect((await consequenceOf(one, own.leaseToken))?.$case).toBe('retryScheduled');
    const next = await one.enqueueAndClaim();
    await put(one, { retry: { nonRetryableCodes: ['hopeless'] } });
    expect((await consequenceOf(one, next.leaseToken, 'hopeless'))?.$case).toBe('deadLettered');
  });

  it('dead_letter, for the next life that fails', async () => {
    const one = scene();
    const held = await one.enqueueAndClaim();
    await put(one, { deadLetter: { enabled: false }, retry: { maxAttempts: 1 } });
    expect((await consequenceOf(one, held.leaseToken))?.$case).toBe('failed');
    expect(await letters(one)).toEqual([]);
    const { jobId } = await one.enqueue({ payload: Buffer.from('payload') });
    await put(one, { deadLetter: { maxPayloadBytes: 3, queue: 'dead' }, retry: { maxAttempts: 1 } });
    const { leaseToken } = await one.claimOne();
    expect((await consequenceOf(one, leaseToken))?.$case).toBe('deadLettered');
    const letter = onlyOne(await letters(one));
    expect([letter.jobId, letter.payload.toString(), letter.payloadTruncated]).toEqual([jobId, 'pay', true]);
    const copy = await one.claimOne({ queues: ['dead'] });
    expect(copy.claimed.payload.toString()).toBe('payload');
    expect(copy.job.headers).toMatchObject({ 'stint-dead-letter-of': jobId });
    await put(one, {});
    await failedJob(one);
    expect((await one.claim({ queues: ['dead'] })).jobs).toEqual([]);
    await one.isSound();
  });
});
