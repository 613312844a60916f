import { describe, expect, it } from 'vitest';
import { IdempotencyScope, JobState } from '../../gen/stint/v1/job.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { type Scene, useService } from './scene.ts';
import { reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const terminalFailure = { code: 'broken', kind: FailureKind.TERMINAL };

/** A job that has FAILED with a checkpoint, after two tries. */
async function failedJob({ stint, enqueueAndClaim, claimOne }: Scene) {
  const { jobId, leaseToken } = await enqueueAndClaim({ retry: { maxAttempts: 2 } });
  await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken, checkpoint: Buffer.from('half way') }] });
  await stint.fail({ leaseToken, retryAfter: seconds(0) });
  const second = await claimOne();
  const { job } = await stint.fail({ leaseToken: second.leaseToken, failure: { code: 'broken' } });
  expect(job?.state).toBe(JobState.FAILED);
  return { jobId, fence: second.job.fence };
}

describe('RetryJob', () => {
  it('begins a new life of a FAILED job, with fresh attempts behind its whole history', async () => {
    const one = scene();
    const { stint, namespace, claimOne, job, events, isSound } = one;
    const { jobId, fence } = await failedJob(one);
    const before = await events(jobId);
    const answer = await stint.retryJob({ namespace, jobId, reason: 'mended' });
    expect(answer.job).toMatchObject({
      state: JobState.READY,
      life: 2,
      attempt: 0,
      maxAttempts: 2,
      fence,
      failure: undefined,
      startedAt: undefined,
      finishedAt: undefined,
      lastSequence: BigInt(before.length + 1),
    });
    expect(await job(jobId)).toEqual(answer.job);
    const after = await events(jobId);
    expect(after.slice(0, -1)).toEqual(before);
    expect(after.at(-1)).toMatchObject({
      type: 'retried',
      sequence: BigInt(before.length + 1),
      life: 2,
      attempt: 0,
      state: JobState.READY,
      detail: { $case: 'retried', retried: { reason: 'mended' } },
    });
    const first = await claimOne();
    expect(first).toMatchObject({ jobId, job: { life: 2, attempt: 1 }, claimed: { checkpoint: Buffer.from('half way') } });
    expect(first.job.fence).toBeGreaterThan(fence);
    await stint.fail({ leaseToken: first.leaseToken, retryAfter: seconds(0) });
    const second = await claimOne();
    expect(second.job).toMatchObject({ life: 2, attempt: 2 });
    expect((await stint.ack({ leaseToken: second.leaseToken })).job).toMatchObject({
      state: JobState.SUCCEEDED,
      life: 2,
      failure: undefined,
    });
    expect((await events(jobId)).map(({ sequence }) => Number(sequence))).toEqual(Array.from({ length: 16 }, (_, index) => index + 1));
    await isSound();
  });

  it('begins a new life of a CANCELLED job, in which nobody has asked to cancel it', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne, eventTypes, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.cancelJob({ namespace, jobId, reason: 'not wanted' });
    await stint.requestAbandon({ namespace, jobId });
    await stint.fail({ leaseToken });
    const { job } = await stint.retryJob({ namespace, jobId });
    expect(job).toMatchObject({
      state: JobState.READY,
      life: 2,
      cancelRequestedAt: undefined,
      cancelReason: '',
      abandonRequestedAt: undefined,
    });
    const again = await claimOne();
    expect(await stint.fail({ leaseToken: again.leaseToken })).toMatchObject({ consequence: { $case: 'retryScheduled' } });
    expect((await eventTypes(jobId)).filter((type) => type === 'cancelled')).toHaveLength(1);
    await isSound();
  });

  it('goes on as often as it is asked, at the end of the backlog', async () => {
    const { stint, namespace, enqueue, claim, isSound } = scene();
    const { jobId } = await enqueue();
    for (const life of [2, 3, 4]) {
      await stint.cancelJob({ namespace, jobId });
      expect((await stint.retryJob({ namespace, jobId })).job?.life).toBe(life);
    }
    const younger = await enqueue();
    await stint.cancelJob({ namespace, jobId });
    await stint.retryJob({ namespace, jobId });
    const { jobs } = await claim({ maxJobs: 2 });
    expect(jobs.map(({ job }) => [job?.jobId, job?.life])).toEqual([
      [younger.jobId, 1],
      [jobId, 5],
    ]);
    await isSound();
  });

  it('leaves a token of the former life lost', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne, picture } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.fail({ leaseToken, failure: terminalFailure });
    await stint.retryJob({ namespace, jobId });
    const { leaseToken: current } = await claimOne();
    const before = await picture(jobId);
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    expect((await stint.fail({ leaseToken })).consequence?.$case).toBe('deadLettered');
    expect(await picture(jobId)).toEqual(before);
    await stint.ack({ leaseToken: current });
  });

  it('wakes a claim that waits', async () => {
    const one = scene();
    const { stint, namespace, claimOne } = one;
    const { jobId } = await failedJob(one);
    const waiting = claimOne();
    await stint.retryJob({ namespace, jobId });
    expect((await waiting).jobId).toBe(jobId);
  });
});

describe('RetryJob of a job with a key', () => {
  const keyed = { idempotencyKey: 'order-7', idempotency: { scope: IdempotencyScope.UNTIL_TERMINAL } };

  it('is refused while another live job holds it, and not afterwards', async () => {
    const { stint, namespace, queue, enqueue, enqueueAndClaim, claimOne, picture, isSound } = scene();
    const first = await enqueueAndClaim(keyed);
    await stint.fail({ leaseToken: first.leaseToken, failure: terminalFailure });
    const second = await enqueue(keyed);
    expect(second.jobId).not.toBe(first.jobId);
    const before = await picture(first.jobId);
    const { info } = await refusal(stint.retryJob({ namespace, jobId: first.jobId }));
    expect(info).toMatchObject({ reason: 'DUPLICATE_JOB', metadata: { job_id: second.jobId } });
    expect(await reasonOf(stint.retryJob({ namespace, jobId: first.jobId }))).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
    expect(await picture(first.jobId)).toEqual(before);
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    expect((await stint.retryJob({ namespace, jobId: first.jobId })).job).toMatchObject({ state: JobState.READY, life: 2 });
    const third = await stint.enqueue({ namespace, job: { queue, type: 'test', ...keyed } });
    expect(third).toMatchObject({ deduplicated: true, job: { jobId: first.jobId, life: 2 } });
    await isSound();
  });

  it('holds it again until that life has ended', async () => {
    const { stint, namespace, queue, enqueue, isSound } = scene();
    const { jobId } = await enqueue(keyed);
    await stint.cancelJob({ namespace, jobId });
    await stint.retryJob({ namespace, jobId });
    const again = async () => await stint.enqueue({ namespace, job: { queue, type: 'test', ...keyed } });
    expect(await again()).toMatchObject({ deduplicated: true, job: { jobId } });
    await stint.cancelJob({ namespace, jobId });
    const fresh = await again();
    expect(fresh.deduplicated).toBe(false);
    expect(fresh.job?.jobId).not.toBe(jobId);
    await isSound();
  });
});

describe('AwaitTerminal over lives', () => {
  it('answers an ended job at once, and waits for the next life where asked', async () => {
    const one = scene();
    const { stint, namespace, claimOne, terminal } = one;
    const { jobId } = await failedJob(one);
    expect(await terminal(jobId)).toMatchObject({ state: JobState.FAILED, life: 1 });
    const next = stint.awaitTerminal({ namespace, jobId, afterLife: 1 });
    expect(await next.next()).toMatchObject({ terminal: false, job: { life: 1 } });
    await stint.retryJob({ namespace, jobId });
    await stint.ack({ leaseToken: (await claimOne()).leaseToken, result: Buffer.from('at last') });
    expect(await next.rest()).toMatchObject([
      { terminal: true, job: { state: JobState.SUCCEEDED, life: 2, result: Buffer.from('at last') } },
    ]);
  });

  it('tells the end of the life that it began to await, though a retry has overtaken it', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue();
    for (const life of [1, 2, 3, 4, 5]) {
      const waiting = stint.awaitTerminal({ namespace, jobId });
      expect(await waiting.next()).toMatchObject({ terminal: false, job: { life } });
      await stint.cancelJob({ namespace, jobId });
      await stint.retryJob({ namespace, jobId });
      expect(await waiting.rest()).toMatchObject([{ terminal: true, job: { state: JobState.CANCELLED, life } }]);
    }
  });
});
