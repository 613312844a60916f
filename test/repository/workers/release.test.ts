import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import { idsOf, policy, Stage, tokenOf } from '../../engine/stage.ts';

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

  it('is exhausted where no attempt is left: nothing is changed, its neighbours are', async () => {
    const held = await stage.held(queue, { job: { retry: policy({ maxAttempts: 1 }) } });
    const neighbour = await stage.held(queue);
    await released(held, LIMITS.releasesPerLife);
    const before = await stage.job(held.job.jobId);
    const outcomes = await stage.repository.releaseMany([held, neighbour].map((one) => ({ token: tokenOf(one), delayMs: 0 })));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['exhausted', 'applied']);
    expect(await stage.job(held.job.jobId)).toEqual(before);
    expect(await backlog()).toEqual(idsOf([neighbour]));
  });
});
