import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
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

async function release(held: ClaimedJob, delayMs = 0) {
  const [outcome] = await stage.repository.releaseMany([{ token: tokenOf(held), delayMs }]);
  return outcome;
}

async function claimOne(): Promise<ClaimedJob> {
  const [held] = await stage.claim(queue);
  if (held === undefined) throw new Error('nothing was claimed');
  return held;
}

/** As if this life had been given back so often. */
const released = ({ job }: ClaimedJob, times: number) => stage.sql`update stint.lease set releases = ${times} where job = ${job.jobId}`;

const backlog = async () => (await stage.repository.peekQueue(queue, 10)).map(({ jobId }) => jobId);

describe('a released job', () => {
  it('goes back to its old position and has its attempt again', async () => {
    const ids = await stage.enqueue(queue, {}, {}, {});
    const held = await claimOne();
    expect(await release(held)).toMatchObject({ kind: 'applied', job: { state: 'READY', attempt: 0 } });
    expect(await backlog()).toEqual(ids);
    expect((await claimOne()).job).toMatchObject({ jobId: ids[0], attempt: 1 });
  });

  it('with a delay waits it out, and takes a new position then', async () => {
    const [first, second] = await stage.enqueue(queue, {}, {});
    await release(await claimOne(), 2_000);
    expect(await backlog()).toEqual([second]);
    stage.clock.advance(1_999);
    await stage.repository.promoteDue();
    expect(await backlog()).toEqual([second]);
    stage.clock.advance(1);
    await stage.repository.promoteDue();
    expect(await backlog()).toEqual([second, first]);
  });

  it('goes back to the position it took last', async () => {
    const [first, second] = await stage.enqueue(queue, {}, {});
    await release(await claimOne(), 1_000);
    stage.clock.advance(1_000);
    await stage.repository.promoteDue();
    const [, again] = await stage.claim(queue, { maxJobs: 2 });
    expect(again?.job.jobId).toBe(first);
    if (again !== undefined) await release(again);
    const [third] = await stage.enqueue(queue, {});
    expect(await backlog()).toEqual([first, third]);
    expect((await stage.job(first ?? stage.mint.mint())).state).toBe('READY');
    expect(second).not.toBe(first);
  });

  it('keeps the spent attempts of former tries', async () => {
    const held = await stage.held(queue);
    const failure = { code: 'x', message: '', details: new Uint8Array(), kind: 'RETRYABLE' as const };
    await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: 0, jitterFactor: 1 }]);
    await stage.repository.promoteDue();
    const again = await claimOne();
    expect(again.job.attempt).toBe(2);
    expect(await release(again)).toMatchObject({ job: { attempt: 1 } });
  });
});

describe('the thousandth release of a life', () => {
  it('is free, and the next one spends its attempt', async () => {
    const held = await stage.held(queue);
    await released(held, LIMITS.releasesPerLife - 1);
    expect(await release(held)).toMatchObject({ kind: 'applied', job: { attempt: 0 } });
    const again = await claimOne();
    expect(again.job.attempt).toBe(1);
    expect(await release(again)).toMatchObject({ kind: 'applied', job: { attempt: 1, state: 'READY' } });
    expect((await claimOne()).job.attempt).toBe(2);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it.each([
    { when: 'started', startOnClaim: true },
    { when: 'leased', startOnClaim: false },
  ])('fails a $when job that has no attempt left, once, with a dead letter; its neighbours are released', async ({ startOnClaim }) => {
    const held = await stage.held(queue, { job: { retry: policy({ maxAttempts: 1 }) }, claim: { startOnClaim } });
    const neighbour = await stage.held(queue);
    await released(held, LIMITS.releasesPerLife);
    const items = [held, neighbour, held].map((one) => ({ token: tokenOf(one), delayMs: 60_000 }));
    const outcomes = await stage.repository.releaseMany(items);
    const failed = { state: 'FAILED', attempt: 1, failure: { code: 'stint.release_limit', kind: 'TERMINAL' }, finishedAt: stage.now };
    expect(outcomes).toMatchObject([
      { kind: 'applied', job: failed },
      { kind: 'applied', job: { state: 'SCHEDULED' } },
      { kind: 'already_applied', job: failed },
    ]);
    expect(outcomes[0]).toHaveProperty('job', await stage.job(held.job.jobId));
    expect(await stage.repository.releaseMany(items)).toMatchObject([
      { kind: 'already_applied', job: failed },
      { kind: 'already_applied' },
      {},
    ]);
    expect((await stage.eventTypes(held.job.jobId)).at(-1)).toBe('failed');
    expect(await stage.sql`select 1 from stint.dead_letter where job = ${held.job.jobId}`).toHaveLength(1);
    expect(await stage.repository.promoteDue()).toMatchObject({ count: 0 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});
