import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import { LEASE_EXPIRED, RELEASE_LIMIT, START_TO_CLOSE } from '../../../src/domain/lease.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import { jobSpec, policy, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const failure = { code: 'boom', message: 'no', details: Buffer.from([1]), kind: 'RETRYABLE' as const };

const list = async (jobId: JobId, told: { pageSize?: number; after?: bigint; namespace?: string } = {}) =>
  await stage.repository.listAttempts({ namespace: queue.namespace, jobId, pageSize: 1_000, after: 0n, ...told });
const attemptsOf = async (jobId: JobId) => (await list(jobId))?.attempts ?? [];
const lastOf = async (jobId: JobId) => (await attemptsOf(jobId)).at(-1);

async function claim(): Promise<ClaimedJob> {
  const [claimed] = await stage.claim(queue);
  if (claimed === undefined) throw new Error('nothing to claim');
  return claimed;
}

/** Fails the try; due again at once. */
async function fail(held: ClaimedJob, retryAfterMs = 0): Promise<void> {
  await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs, jitterFactor: 1 }]);
  await stage.repository.promoteDue();
}
const asked = (held: ClaimedJob, reason: string) => ({ namespace: queue.namespace, jobId: held.job.jobId, request: null, reason });

describe('the attempts of a job', () => {
  it('are none before its first claim, and nothing is known of a job that is not there', async () => {
    const [jobId] = await stage.enqueue(queue, {});
    if (jobId === undefined) throw new Error('nothing was enqueued');
    expect(await list(jobId)).toEqual({ attempts: [], nextAfter: null });
    expect(await list(stage.mint.mint())).toBeNull();
    expect(await list(jobId, { namespace: 'another' })).toBeNull();
  });

  it('hold the one in flight, with who holds it', async () => {
    const held = await stage.held(queue, { claim: { workerId: 'holder', startOnClaim: false } });
    const { fence } = held.job;
    const inFlight = { workerId: 'holder', fence, attempt: 1, life: 1, claimedAt: stage.now, endedAt: null, outcome: 'IN_FLIGHT' };
    expect(await attemptsOf(held.job.jobId)).toEqual([{ ...inFlight, startedAt: null, failure: null, retryAt: null, reason: '' }]);
    const startedAt = (stage.clock.advance(7), stage.now);
    await stage.repository.startMany([{ token: tokenOf(held) }]);
    expect(await attemptsOf(held.job.jobId)).toMatchObject([{ ...inFlight, startedAt }]);
  });

  it('are told over all lives in the order of their fences, each with its number, its life and its end', async () => {
    const first = await stage.held(queue);
    const { jobId } = first.job;
    await fail(first, 60_000);
    stage.clock.advance(60_000);
    await stage.repository.promoteDue();
    const second = await claim();
    await stage.repository.releaseMany([{ token: tokenOf(second), delayMs: 0 }]);
    const third = await claim();
    await stage.repository.failMany([
      { token: tokenOf(third), failure: { ...failure, kind: 'TERMINAL' }, retryAfterMs: null, jitterFactor: 1 },
    ]);
    await stage.repository.retryMany([asked(third, 'once more')]);
    const fourth = await claim();
    await stage.repository.ackMany([{ token: tokenOf(fourth), result: new Uint8Array(), contentType: '' }]);
    expect((await attemptsOf(jobId)).map((one) => [one.fence, one.life, one.attempt, one.outcome])).toEqual([
      [first.lease.fence, 1, 1, 'FAILED'],
      [second.lease.fence, 1, 2, 'RELEASED'],
      [third.lease.fence, 1, 2, 'FAILED'],
      [fourth.lease.fence, 2, 1, 'SUCCEEDED'],
    ]);
    const [one, two, three] = await attemptsOf(jobId);
    expect(one).toMatchObject({ failure, retryAt: Number(first.job.startedAt) + 60_000_000 });
    expect(two).toMatchObject({ failure: null, retryAt: null });
    expect(three).toMatchObject({ retryAt: null, endedAt: stage.now });
  });

  it('come in pages, of which none leaves out what ends or begins between them', async () => {
    let held = await stage.held(queue);
    const { jobId } = held.job;
    for (let count = 0; count < 4; count += 1) {
      await fail(held);
      held = await claim();
    }
    const fences = (await attemptsOf(jobId)).map(({ fence }) => fence);
    const listed: bigint[] = [];
    for (let after: bigint | null | undefined; after !== null;) {
      const page = await list(jobId, { pageSize: 2, after: after ?? 0n });
      listed.push(...(page?.attempts.map(({ fence }) => fence) ?? []));
      after = page?.nextAfter ?? null;
      if (listed.length === 4) await fail(held);
    }
    expect(listed).toEqual(fences);
    expect(fences).toHaveLength(5);
  });
});

describe('the outcome of an attempt', () => {
  it('of a lease that lapsed is EXPIRED, whether it is tried again or not', async () => {
    const held = await stage.held(queue, { job: { retry: policy({ maxAttempts: 2, initialBackoffMs: 0, jitter: false }) } });
    stage.clock.advance(60_000);
    await stage.repository.expireLeases();
    expect(await lastOf(held.job.jobId)).toMatchObject({ outcome: 'EXPIRED', failure: { code: LEASE_EXPIRED.code }, retryAt: stage.now });
    await stage.repository.promoteDue();
    await claim();
    stage.clock.advance(60_000);
    await stage.repository.expireLeases();
    expect(await lastOf(held.job.jobId)).toMatchObject({ outcome: 'EXPIRED', retryAt: null, attempt: 2 });
  });

  it('of one that took too long is TIMED_OUT', async () => {
    const held = await stage.held(queue, { job: { timeouts: { ...jobSpec().timeouts, startToCloseMs: 1_000 } } });
    stage.clock.advance(1_000);
    await stage.repository.expireLeases();
    expect(await lastOf(held.job.jobId)).toMatchObject({ outcome: 'TIMED_OUT', failure: { code: START_TO_CLOSE.code } });
  });

  it('is CANCELLED once that was asked for, whatever its holder says then', async () => {
    const held = await stage.held(queue);
    await stage.repository.cancelMany([asked(held, 'not wanted')]);
    await fail(held);
    expect(await lastOf(held.job.jobId)).toMatchObject({ outcome: 'CANCELLED', reason: 'not wanted', failure, retryAt: null });
  });

  it('is SUSPENDED with what its holder said', async () => {
    const held = await stage.held(queue);
    await stage.repository.suspendMany([{ token: tokenOf(held), checkpoint: null, reason: 'waits for people' }]);
    expect(await lastOf(held.job.jobId)).toMatchObject({ outcome: 'SUSPENDED', reason: 'waits for people', failure: null });
  });

  it('is ABANDONED where the job must not run again', async () => {
    const held = await stage.held(queue, { job: { disposition: 'OWNER_BOUND' } });
    stage.clock.advance(60_000);
    await stage.repository.expireLeases();
    expect(await lastOf(held.job.jobId)).toMatchObject({ outcome: 'ABANDONED', failure: { code: LEASE_EXPIRED.code }, retryAt: null });
  });

  it('of a release too many is FAILED', async () => {
    const held = await stage.held(queue, { job: { retry: policy({ maxAttempts: 1 }) } });
    const { jobId } = held.job;
    await stage.sql`update stint.lease set releases = ${LIMITS.releasesPerLife} where job = ${jobId}`;
    await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    expect(await lastOf(jobId)).toMatchObject({ outcome: 'FAILED', failure: { code: RELEASE_LIMIT.code } });
  });
});
