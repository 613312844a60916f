import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { idsOf, policy, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
  // What other tests have left in flight is none of this one's.
  stage.clock.advance(90_000);
  await expireAll();
});
afterAll(() => stage.close());

async function expireAll(): Promise<number> {
  let expired = 0;
  for (let round = await stage.repository.expireLeases(); round.count > 0; round = await stage.repository.expireLeases())
    expired += round.count;
  return expired;
}

describe('expiry', () => {
  it('ends a try at the end of its grace, not before', async () => {
    const held = await stage.held(queue, { claim: { leaseDurationMs: 2_000 } });
    stage.clock.advance(6_999);
    expect(await stage.repository.expireLeases()).toMatchObject({
      count: 0,
      nextDueAt: stage.now + 1_000,
      databaseTime: stage.now,
      readyQueues: [],
    });
    stage.clock.advance(1);
    expect(await stage.repository.expireLeases()).toMatchObject({ count: 1, more: false });
    expect(await stage.job(held.job.jobId)).toMatchObject({
      state: 'RETRY_WAIT',
      attempt: 1,
      failure: { code: 'stint.lease_expired', kind: 'RETRYABLE' },
      runAt: stage.now + 500_000,
    });
    expect(await stage.eventTypes(held.job.jobId)).toEqual(['enqueued', 'claimed', 'started', 'retry_scheduled']);
  });

  it('takes the grace that the queue had when the job was claimed', async () => {
    await stage.sql`update stint.queue set lease_grace_ms = 60000 where id = ${queue.id}`;
    const held = await stage.held(queue);
    stage.clock.advance(89_999);
    await expireAll();
    expect((await stage.job(held.job.jobId)).state).toBe('RUNNING');
    stage.clock.advance(1);
    await expireAll();
    expect((await stage.job(held.job.jobId)).state).toBe('RETRY_WAIT');
  });

  it('abandons an owner-bound job that was started, and tries one again that was not', async () => {
    const disposition = 'OWNER_BOUND' as const;
    const started = await stage.held(queue, { job: { disposition } });
    const leased = await stage.held(queue, { job: { disposition }, claim: { startOnClaim: false } });
    stage.clock.advance(35_000);
    expect(await stage.repository.expireLeases()).toMatchObject({ count: 2, abandoned: 1, cancelled: 0, timedOut: 0 });
    expect((await stage.job(started.job.jobId)).state).toBe('ABANDONED');
    expect((await stage.job(leased.job.jobId)).state).toBe('RETRY_WAIT');
  });

  it('spends the attempt: a job that kills its workers ends FAILED, with one dead letter', async () => {
    const [jobId] = await stage.enqueue(queue, { retry: policy({ maxAttempts: 3, initialBackoffMs: 0 }) });
    if (jobId === undefined) throw new Error('nothing was enqueued');
    const attempts = [];
    for (let turn = 0; turn < 3; turn += 1) {
      const [held] = await stage.claim(queue, { startOnClaim: turn !== 1 });
      attempts.push(held?.job.attempt);
      stage.clock.advance(35_000);
      await expireAll();
      await stage.repository.promoteDue();
    }
    expect(attempts).toEqual([1, 2, 3]);
    expect(await stage.job(jobId)).toMatchObject({ state: 'FAILED', attempt: 3, failure: { code: 'stint.lease_expired' } });
    expect(await stage.claim(queue)).toEqual([]);
    expect(await stage.sql`select life from stint.dead_letter where job = ${jobId}`).toHaveLength(1);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is final for a code that the policy never retries', async () => {
    const held = await stage.held(queue, { job: { retry: policy({ nonRetryableCodes: ['stint.lease_expired'] }) } });
    stage.clock.advance(35_000);
    await expireAll();
    expect((await stage.job(held.job.jobId)).state).toBe('FAILED');
  });

  it('spares what is renewed or settled in time', async () => {
    await stage.enqueue(queue, {}, {}, {});
    const [lapsed, renewed, settled] = await stage.claim(queue, { maxJobs: 3 });
    if (lapsed === undefined || renewed === undefined || settled === undefined) throw new Error('nothing was claimed');
    stage.clock.advance(30_000);
    await stage.repository.heartbeatMany([{ token: tokenOf(renewed), checkpoint: null }]);
    await stage.repository.ackMany([{ token: tokenOf(settled), result: new Uint8Array(), contentType: '' }]);
    stage.clock.advance(5_000);
    expect(await expireAll()).toBe(1);
    const states = (await stage.repository.getJobs(idsOf([lapsed, renewed, settled]))).map((job) => job?.state);
    expect(states).toEqual(['RETRY_WAIT', 'RUNNING', 'SUCCEEDED']);
  });

  it('ends 500 at a time, and tells that there is more', async () => {
    await stage.enqueue(queue, ...Array.from({ length: 700 }, () => ({})));
    await stage.claim(queue, { maxJobs: 700 });
    stage.clock.advance(35_000);
    expect(await stage.repository.expireLeases()).toMatchObject({ count: 500, more: true });
    expect(await stage.repository.expireLeases()).toMatchObject({ count: 200, more: false });
  });

  it('by several replicas at once ends each try once', async () => {
    await stage.enqueue(queue, ...Array.from({ length: 1_000 }, () => ({})));
    await stage.claim(queue, { maxJobs: 1_000 });
    stage.clock.advance(35_000);
    const replicas = [stage.repository, await stage.another(), await stage.another()];
    const rounds = await Promise.all(replicas.flatMap((replica) => [replica.expireLeases(), replica.expireLeases()]));
    const left = await expireAll();
    expect(rounds.reduce((sum, { count }) => sum + count, left)).toBe(1_000);
    const [row] = await stage.sql`select count(*)::int, count(distinct job)::int as jobs from stint.deferred where queue_id = ${queue.id}`;
    expect(row).toEqual({ count: 1_000, jobs: 1_000 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('leaves what a stranger has locked for the next round', async () => {
    await stage.enqueue(queue, {}, {});
    const [locked, free] = await stage.claim(queue, { maxJobs: 2 });
    stage.clock.advance(35_000);
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.lease where job = ${locked?.job.jobId ?? ''} for update`);
    expect(await expireAll()).toBe(1);
    expect(await stage.job(free?.job.jobId ?? stage.mint.mint())).toMatchObject({ state: 'RETRY_WAIT' });
    await stranger.rollback();
    expect(await expireAll()).toBe(1);
  });
});
