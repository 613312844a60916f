/** What a session hears of the jobs that its worker holds: by heartbeats, by events, and by looks where events were missed. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobEvent } from '../../../src/domain/event.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import { outcome, settled } from '../lane.ts';
import { ackOf, beatOf, eventOf, jobs, LEASE_MS, queueOf, renewed, SessionScene, tokenOf } from './session-scene.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const INTERVAL_MS = LEASE_MS / 3;

async function beat(scene: SessionScene, ...listed: readonly ClaimedJob[]): Promise<void> {
  void scene.session.heartbeat(listed.map(beatOf));
  (await scene.parts.beaten.next()).answer(listed.map(() => renewed));
  await settled();
}

async function holdingOne() {
  const [job = claimless()] = jobs(1);
  return { job, scene: await SessionScene.holding([job]), leaseToken: job.lease.leaseToken };
}

function claimless(): never {
  throw new Error('no job');
}

describe('a heartbeat', () => {
  it('is answered in its place, and gives up the place of a lease that is gone', async () => {
    const held = jobs(2);
    const scene = await SessionScene.holding(held);
    void scene.session.heartbeat(held.map(beatOf));
    (await scene.parts.beaten.next()).answer([{ kind: 'lease_lost', reason: 'EXPIRED' }, renewed]);
    expect((await scene.parts.claims.next()).asked.maxJobs).toBe(1);
    await settled();
    expect(scene.told).toEqual([{ kind: 'heartbeat', outcomes: [{ kind: 'lease_lost', reason: 'EXPIRED' }, renewed] }]);
  });

  it('waits for the one before, for its answer does not say what it answers', async () => {
    const held = jobs(2);
    const scene = await SessionScene.holding(held);
    for (const job of held) void scene.session.heartbeat([beatOf(job)]);
    const first = await scene.parts.beaten.next();
    await settled();
    expect(scene.parts.beaten.unseen).toBe(0);
    first.answer([{ ...renewed, ttlMs: 1 }]);
    (await scene.parts.beaten.next()).answer([{ ...renewed, ttlMs: 2 }]);
    await settled();
    expect(scene.told).toMatchObject([{ outcomes: [{ ttlMs: 1 }] }, { outcomes: [{ ttlMs: 2 }] }]);
  });

  it('brings along what the worker has from elsewhere, which takes its place', async () => {
    const scene = new SessionScene({ credits: 1 });
    void scene.read();
    const waiting = await scene.parts.claims.next();
    const [job = claimless()] = jobs(1);
    await beat(scene, job);
    waiting.answer({ jobs: [], decision: 'EMPTY' });
    await settled();
    expect([[...scene.index], scene.parts.claims.unseen]).toEqual([[job.job.jobId], 0]);
  });

  it('of more than there is room for takes back the claim that waits', async () => {
    const scene = new SessionScene({ credits: 2 });
    void scene.read();
    const waiting = await scene.parts.claims.next();
    await beat(scene, ...jobs(2));
    expect(waiting.asked.signal.aborted).toBe(true);
  });

  it('of a job that was settled meanwhile takes no place for good', async () => {
    const scene = new SessionScene({ credits: 1 });
    void scene.read();
    const waiting = await scene.parts.claims.next();
    await beat(scene, ...jobs(1));
    waiting.answer({ jobs: [], decision: 'EMPTY' });
    await settled();
    expect(scene.parts.claims.unseen).toBe(0);
    (await scene.parts.lookedAt.next()).answer([{ kind: 'lease_lost', reason: 'SETTLED' }]);
    expect((await scene.parts.claims.next()).asked.maxJobs).toBe(1);
  });

  it('goes by the interval that was told, however short an operator makes the lease', async () => {
    const [job = claimless()] = jobs(1);
    const scene = await SessionScene.holding([job]);
    scene.session.onQueues([queueOf({ leaseDurationMs: 3_000 })]);
    vi.advanceTimersByTime(INTERVAL_MS);
    void scene.session.heartbeat([]);
    (await scene.parts.beaten.next()).answer([]);
    await settled();
    expect(scene.parts.dropped.unseen).toBe(0);
    scene.session.setCredits(2);
    expect((await scene.parts.claims.next()).asked.claim.leaseDurationMs).toBe(LEASE_MS);
  });

  it('of a database that does not answer is for the caller to tell', async () => {
    const { job, scene } = await holdingOne();
    const call = outcome(scene.session.heartbeat([beatOf(job)]));
    (await scene.parts.beaten.next()).crash(new StoreError('unavailable', 'gone'));
    expect(await call).toBe('unavailable');
  });

  it('gives up what was not listed for two intervals, and says so where it was live', async () => {
    const held = jobs(3);
    const [listed = claimless(), forgotten = claimless(), settledElsewhere = claimless()] = held;
    const scene = await SessionScene.holding(held);
    vi.advanceTimersByTime(2 * INTERVAL_MS - 1);
    await beat(scene, listed);
    expect(scene.parts.dropped.unseen).toBe(0);
    vi.advanceTimersByTime(1);
    void scene.session.heartbeat([beatOf(listed)]);
    (await scene.parts.beaten.next()).answer([renewed]);
    const drop = await scene.parts.dropped.next();
    expect(drop.asked).toEqual([forgotten, settledElsewhere].map((job) => ({ token: tokenOf(job), session: null })));
    drop.answer([true, false]);
    await settled();
    expect(scene.kinds()).toEqual(['heartbeat', 'lease_lost', 'heartbeat']);
    expect(scene.told[1]).toEqual({ kind: 'lease_lost', leaseToken: forgotten.lease.leaseToken, reason: 'EXPIRED' });
    expect([[...scene.index], scene.parts.dropsTold]).toEqual([[listed.job.jobId], 1]);
  });

  it('does not give up what is being settled', async () => {
    const { job, scene } = await holdingOne();
    void scene.session.settle('slow', [ackOf(job)]);
    vi.advanceTimersByTime(2 * INTERVAL_MS);
    await beat(scene);
    expect([scene.parts.dropped.unseen, scene.kinds()]).toEqual([0, ['heartbeat']]);
  });
});

const cancelRequested: Pick<JobEvent, 'detail' | 'state'> = {
  detail: { type: 'cancel_requested', reason: '', cancelDeadline: 7, state: 'RUNNING' },
  state: 'RUNNING',
};
const ended: Pick<JobEvent, 'detail' | 'state'> = { detail: { type: 'succeeded', evidence: null }, state: 'SUCCEEDED' };

describe('an event of a job in hand', () => {
  it('that asks to cancel is told once, whoever else tells it', async () => {
    const { job, scene, leaseToken } = await holdingOne();
    scene.session.onEvent(eventOf(job, cancelRequested));
    scene.session.onEvent(eventOf(job, cancelRequested));
    scene.session.lookAgain();
    (await scene.parts.lookedAt.next()).answer([{ kind: 'live', cancelDeadline: 7 }]);
    await settled();
    expect(scene.told).toEqual([{ kind: 'cancel', leaseToken, cancelDeadline: 7 }]);
  });

  it('that asks to cancel is not told again after a heartbeat was answered so', async () => {
    const { job, scene } = await holdingOne();
    void scene.session.heartbeat([beatOf(job)]);
    (await scene.parts.beaten.next()).answer([{ ...renewed, cancelDeadline: 7 }]);
    await settled();
    scene.session.onEvent(eventOf(job, cancelRequested));
    await settled();
    expect(scene.kinds()).toEqual(['heartbeat']);
  });

  it.each<[string, Pick<JobEvent, 'detail' | 'state'> & Partial<JobEvent>]>([
    ['that ends it', ended],
    ['of a later lease', { detail: { type: 'claimed' }, state: 'LEASED', fence: 2n }],
  ])('%s is looked into, and a lease that is gone is told and gives up its place', async (_name, told) => {
    const { job, scene, leaseToken } = await holdingOne();
    scene.session.onEvent(eventOf(job, told));
    (await scene.parts.lookedAt.next()).answer([{ kind: 'lease_lost', reason: 'TIMED_OUT' }]);
    expect((await scene.parts.claims.next()).asked.maxJobs).toBe(1);
    await settled();
    expect(scene.told).toEqual([{ kind: 'lease_lost', leaseToken, reason: 'TIMED_OUT' }]);
  });

  it('that its worker settled elsewhere gives up its place without a word', async () => {
    const { job, scene } = await holdingOne();
    scene.session.onEvent(eventOf(job, ended));
    (await scene.parts.lookedAt.next()).answer([{ kind: 'lease_lost', reason: 'SETTLED' }]);
    await scene.parts.claims.next();
    await settled();
    expect(scene.told).toEqual([]);
  });

  it.each<[string, Pick<JobEvent, 'detail' | 'state'> & Partial<JobEvent>]>([
    ['of an earlier lease', { ...ended, fence: 0n }],
    ['that leaves it in hand', { detail: { type: 'started' }, state: 'RUNNING' }],
  ])('%s is nothing to look into', async (_name, told) => {
    const { job, scene } = await holdingOne();
    scene.session.onEvent(eventOf(job, told));
    await settled();
    expect([scene.parts.lookedAt.unseen, scene.told]).toEqual([0, []]);
  });

  it('is left alone while it is being settled, and when it is of no job in hand', async () => {
    const { job, scene } = await holdingOne();
    void scene.session.settle('under way', [ackOf(job)]);
    for (const one of [job, ...jobs(1)]) scene.session.onEvent(eventOf(one, ended));
    await settled();
    expect([scene.parts.lookedAt.unseen, scene.told]).toEqual([0, []]);
  });
});

describe('a session that missed events', () => {
  it('looks at all that is in hand, and tells what it finds', async () => {
    const held = jobs(3);
    const scene = await SessionScene.holding(held);
    scene.session.lookAgain();
    const look = await scene.parts.lookedAt.next();
    expect(look.asked).toEqual(held.map((job) => ({ token: tokenOf(job) })));
    look.answer([
      { kind: 'live', cancelDeadline: null },
      { kind: 'live', cancelDeadline: 7 },
      { kind: 'lease_lost', reason: 'EXPIRED' },
    ]);
    await settled();
    expect([scene.kinds(), scene.index.size]).toEqual([['cancel', 'lease_lost'], 2]);
  });

  it('looks again where the database did not answer', async () => {
    const { scene } = await holdingOne();
    scene.session.lookAgain();
    (await scene.parts.lookedAt.next()).crash(new StoreError('unavailable', 'gone'));
    await settled();
    expect([scene.told, scene.end, scene.index.size]).toEqual([[], undefined, 1]);
    vi.advanceTimersByTime(1_000);
    (await scene.parts.lookedAt.next()).answer([{ kind: 'lease_lost', reason: 'SETTLED' }]);
    await settled();
    expect([scene.told, scene.index.size]).toEqual([[], 0]);
  });
});
