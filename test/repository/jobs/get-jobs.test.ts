import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Failure } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { policy, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const failure: Failure = { code: 'boom', message: 'no', details: Buffer.from([0, 1]), kind: 'RETRYABLE' };
const fail = async (told: Partial<Failure> = {}, claim: Parameters<Stage['held']>[1] = {}) => {
  const held = await stage.held(queue, claim);
  await stage.repository.failMany([{ token: tokenOf(held), failure: { ...failure, ...told }, retryAfterMs: 60_000, jitterFactor: 1 }]);
  return held.job.jobId;
};

describe('a job that is read', () => {
  it('is null where nobody enqueued it, and stands at the place it was asked for', async () => {
    const [jobId] = await stage.enqueue(queue, {});
    if (jobId === undefined) throw new Error('nothing was enqueued');
    const found = await stage.repository.getJobs([stage.mint.mint(), jobId, stage.mint.mint(), jobId]);
    expect(found.map((job) => job?.jobId ?? null)).toEqual([null, jobId, null, jobId]);
  });

  it('is LEASED with its holder and its end', async () => {
    const { job } = await stage.held(queue, { claim: { startOnClaim: false, workerId: 'holder', leaseDurationMs: 7_000 } });
    expect(await stage.job(job.jobId)).toEqual(job);
    expect(job).toMatchObject({ state: 'LEASED', workerId: 'holder', leaseExpiresAt: stage.now + 7_000_000, startedAt: null, attempt: 1 });
  });

  it('is RUNNING since it was started', async () => {
    const { job } = await stage.held(queue, { claim: { workerId: 'holder' } });
    expect(await stage.job(job.jobId)).toEqual(job);
    expect(job).toMatchObject({ state: 'RUNNING', startedAt: stage.now, lastSequence: 3 });
  });

  it('waits for its retry with the last failure, its due time and its last holder', async () => {
    const jobId = await fail({}, { claim: { workerId: 'former' } });
    expect(await stage.job(jobId)).toMatchObject({
      state: 'RETRY_WAIT',
      failure,
      runAt: stage.now + 60_000_000,
      workerId: 'former',
      startedAt: stage.now,
      leaseExpiresAt: null,
      finishedAt: null,
    });
  });

  it('keeps the failure over the next tries of the same life, and loses it with success', async () => {
    const jobId = await fail();
    stage.clock.advance(60_000);
    await stage.repository.promoteDue();
    expect(await stage.job(jobId)).toMatchObject({ state: 'READY', failure, attempt: 1, lastSequence: 5 });
    const [again] = await stage.claim(queue);
    if (again === undefined) throw new Error('nothing was claimed');
    expect(await stage.job(jobId)).toMatchObject({ state: 'RUNNING', failure, attempt: 2 });
    await stage.repository.ackMany([{ token: tokenOf(again), result: Buffer.from('r'), contentType: 'text/plain' }]);
    expect(await stage.job(jobId)).toMatchObject({
      state: 'SUCCEEDED',
      failure: null,
      result: Buffer.from('r'),
      resultContentType: 'text/plain',
      finishedAt: stage.now,
      attempt: 2,
    });
  });

  it('is told by claim, start and release as by a read, a former failure included', async () => {
    const jobId = await fail();
    stage.clock.advance(60_000);
    await stage.repository.promoteDue();
    const [held] = await stage.claim(queue, { startOnClaim: false, requestId: 'r' });
    if (held === undefined) throw new Error('nothing was claimed');
    expect(held.job).toMatchObject({ attempt: 2, failure });
    expect(held.job).toEqual(await stage.job(jobId));
    expect(await stage.repository.leasesOfRequest(queue.namespace, 'w', 'r')).toEqual([held]);
    const [started] = await stage.repository.startMany([{ token: tokenOf(held) }]);
    expect(started).toHaveProperty('job', await stage.job(jobId));
    const [released] = await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    expect(released).toHaveProperty('job', await stage.job(jobId));
  });

  it('is FAILED with the failure that ended it', async () => {
    const jobId = await fail({ code: 'last', kind: 'TERMINAL' });
    expect(await stage.job(jobId)).toMatchObject({
      state: 'FAILED',
      failure: { ...failure, code: 'last', kind: 'TERMINAL' },
      finishedAt: stage.now,
      result: null,
    });
  });

  it('that was released with a delay is SCHEDULED until then', async () => {
    const held = await stage.held(queue);
    await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 1_500 }]);
    expect(await stage.job(held.job.jobId)).toMatchObject({ state: 'SCHEDULED', runAt: stage.now + 1_500_000, attempt: 0 });
  });

  it('takes from its queue what it leaves open, at the moment it is read', async () => {
    const other = await stage.queue();
    const ids = await stage.enqueue(other, {}, { retry: policy({ maxAttempts: 2 }) });
    await stage.sql`update stint.queue set max_attempts = 77 where id = ${other.id}`;
    expect((await stage.repository.getJobs(ids)).map((job) => job?.maxAttempts)).toEqual([77, 2]);
  });
});
