/** Assignments and settlements of a session: every part is answered by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Settled } from '../../../src/engine/workers/words.ts';
import { RefusalError } from '../../../src/domain/error.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import { outcome, settled } from '../lane.ts';
import { acked, ackOf, jobs, LEASE_MS, lost, queueOf, SessionScene } from './session-scene.ts';

// Time moves only when a test moves it.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const unavailable = () => new StoreError('unavailable', 'gone');

describe('a session that assigns', () => {
  it('tells first that it is open, and asks for as much as there is room for', async () => {
    const scene = new SessionScene({ credits: 3 });
    void scene.read();
    const first = await scene.parts.claims.next();
    await settled();
    expect(scene.told).toEqual([{ kind: 'opened', sessionId: 's', heartbeatIntervalMs: 10_000 }]);
    expect(first.asked).toMatchObject({
      maxJobs: 3,
      claim: { channel: 'push', startOnClaim: true, waitMs: null, leaseDurationMs: 30_000 },
    });
    const given = jobs(2);
    first.answer({ jobs: given, decision: 'ASSIGNED' });
    expect((await scene.parts.claims.next()).asked.maxJobs).toBe(1);
    expect(scene.told.at(-1)).toEqual({ kind: 'assigned', jobs: given });
  });

  it('asks for nothing without credits, and waits no more when they are taken back', async () => {
    const scene = new SessionScene({ credits: 0 });
    void scene.read();
    await settled();
    expect(scene.parts.claims.unseen).toBe(0);
    scene.session.setCredits(2);
    const claim = await scene.parts.claims.next();
    scene.session.setCredits(0);
    expect(claim.asked.signal.aborted).toBe(true);
    claim.answer({ jobs: [], decision: 'EMPTY' });
    await settled();
    expect(scene.parts.claims.unseen).toBe(0);
    scene.session.setCredits(1);
    expect((await scene.parts.claims.next()).asked.signal.aborted).toBe(false);
  });

  it('claims nothing more while the last assignment was not taken', async () => {
    const scene = new SessionScene({ credits: 9 });
    await scene.one();
    (await scene.parts.claims.next()).answer({ jobs: jobs(1), decision: 'ASSIGNED' });
    expect((await scene.one()).kind).toBe('assigned');
    await settled();
    expect(scene.parts.claims.unseen).toBe(0);
    void scene.one();
    expect((await scene.parts.claims.next()).asked.maxJobs).toBe(8);
  });

  it('claims again a while after the database did not answer', async () => {
    const scene = new SessionScene();
    void scene.read();
    (await scene.parts.claims.next()).crash(unavailable());
    await settled();
    vi.advanceTimersByTime(999);
    await settled();
    expect(scene.parts.claims.unseen).toBe(0);
    vi.advanceTimersByTime(1);
    (await scene.parts.claims.next()).answer({ jobs: jobs(1), decision: 'ASSIGNED' });
    await settled();
    expect(scene.kinds()).toEqual(['opened', 'assigned']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('bears a replica that has as much to do as it takes', async () => {
    const scene = new SessionScene();
    void scene.read();
    (await scene.parts.claims.next()).crash(new RefusalError({ kind: 'overloaded', what: 'reads', retryAfterMs: 1 }));
    await settled();
    vi.advanceTimersByTime(1_000);
    await scene.parts.claims.next();
    expect(scene.end).toBeUndefined();
  });

  it('ends with the cause where it cannot claim', async () => {
    const scene = new SessionScene();
    void scene.read();
    const cause = new StoreError('broken', 'a defect');
    (await scene.parts.claims.next()).crash(cause);
    await scene.over;
    await settled();
    expect(scene.end).toEqual({ error: cause });
  });
});

describe('what was claimed', () => {
  it('goes back when the worker has gone meanwhile', async () => {
    const scene = new SessionScene({ credits: 2 });
    void scene.read();
    const claim = await scene.parts.claims.next();
    scene.gone.abort();
    expect(claim.asked.signal.aborted).toBe(true);
    const given = jobs(2);
    claim.answer({ jobs: given, decision: 'ASSIGNED' });
    await scene.over;
    expect([scene.parts.givenBack, scene.index.size]).toEqual([given, 0]);
  });

  it('goes back when the worker leaves with it on its way', async () => {
    const scene = new SessionScene({ credits: 2 });
    await scene.one();
    const given = jobs(1);
    (await scene.parts.claims.next()).answer({ jobs: given, decision: 'ASSIGNED' });
    await scene.one();
    scene.gone.abort();
    await scene.leave();
    await scene.over;
    expect([scene.parts.givenBack, scene.index.size]).toEqual([given, 0]);
  });

  it('stays with the worker who has taken it, and with nobody else to hear of it', async () => {
    const scene = await SessionScene.holding(jobs(2));
    expect(scene.index.size).toBe(2);
    scene.gone.abort();
    await scene.over;
    expect([scene.parts.givenBack, scene.index.size]).toEqual([[], 0]);
  });

  it('goes back when the worker has said that it says no more', async () => {
    const scene = new SessionScene();
    void scene.read();
    const claim = await scene.parts.claims.next();
    scene.session.finish();
    const given = jobs(1);
    claim.answer({ jobs: given, decision: 'ASSIGNED' });
    await scene.over;
    expect([scene.end, scene.parts.givenBack]).toEqual(['ok', given]);
  });
});

describe('a settlement', () => {
  it('gives the place of its job to another', async () => {
    const [job, other] = jobs(2);
    const scene = await SessionScene.holding([job, other].filter((one) => one !== undefined));
    if (job === undefined) throw new Error('no job');
    void scene.session.settle('one', [ackOf(job)]);
    expect(scene.parts.claims.unseen).toBe(0);
    (await scene.parts.settlements.next()).answer([acked(job)]);
    expect((await scene.parts.claims.next()).asked.maxJobs).toBe(1);
    await settled();
    expect(scene.told).toEqual([{ kind: 'settled', id: 'one', results: [acked(job)] }]);
    expect([...scene.index]).toEqual([other?.job.jobId]);
  });

  it('that is refused as of a lease that is gone gives up its place, and any other keeps it', async () => {
    const held = jobs(2);
    const scene = await SessionScene.holding(held);
    void scene.session.settle('two', held.map(ackOf));
    const overloaded: Settled = { kind: 'refused', refusal: { kind: 'overloaded', what: 'ack', retryAfterMs: 1 } };
    (await scene.parts.settlements.next()).answer([lost, overloaded]);
    await settled();
    expect([...scene.index]).toEqual([held[1]?.job.jobId]);
  });

  it('that the database does not answer is refused, and the session goes on', async () => {
    const held = jobs(1);
    const scene = await SessionScene.holding(held);
    void scene.session.settle('lost', held.map(ackOf));
    (await scene.parts.settlements.next()).crash(unavailable());
    await settled();
    const results = [{ kind: 'refused', refusal: { kind: 'store_unavailable', retryAfterMs: 1_000 } }];
    expect([scene.told, scene.end, scene.index.size]).toEqual([[{ kind: 'settled', id: 'lost', results }], undefined, 1]);
  });

  it('that is broken is for the caller to tell', async () => {
    const held = jobs(1);
    const scene = await SessionScene.holding(held);
    const call = outcome(scene.session.settle('broken', held.map(ackOf)));
    (await scene.parts.settlements.next()).crash(new StoreError('broken', 'a defect'));
    expect(await call).toBe('broken');
  });
});

describe('a session of a service that stops', () => {
  it('answers what is under way, says to go elsewhere, and ends', async () => {
    const held = jobs(2);
    const scene = await SessionScene.holding(held, { credits: 5 });
    const claim = await scene.parts.claims.next();
    void scene.session.settle('under way', held.map(ackOf));
    void scene.session.reconnect('shutting_down');
    expect(claim.asked.signal.aborted).toBe(true);
    claim.answer({ jobs: [], decision: 'EMPTY' });
    await settled();
    expect(scene.kinds()).toEqual([]);
    (await scene.parts.settlements.next()).answer(held.map(acked));
    await scene.over;
    await settled();
    expect([scene.kinds(), scene.told.at(-1)]).toEqual([['settled', 'reconnect'], { kind: 'reconnect', reason: 'shutting_down' }]);
    expect([scene.end, scene.parts.claims.unseen]).toEqual(['ok', 0]);
  });
});

describe('a queue that drains', () => {
  it('is told of once, and again when it drains again', async () => {
    const scene = new SessionScene({ credits: 0 }, [queueOf({ isDraining: true })]);
    void scene.read();
    for (const isDraining of [true, false, true]) scene.session.onQueues([queueOf({ isDraining }), queueOf({ name: 'other' })]);
    await settled();
    expect(scene.told.slice(1)).toEqual([
      { kind: 'drain', queue: 'q' },
      { kind: 'drain', queue: 'q' },
    ]);
  });

  it('or is changed otherwise gives longer leases from the next claim on, and never shorter ones than it told of', async () => {
    const scene = new SessionScene();
    void scene.read();
    const claim = await scene.parts.claims.next();
    scene.session.onQueues([queueOf({ leaseDurationMs: 50_000 })]);
    claim.answer({ jobs: [], decision: 'EMPTY' });
    const longer = await scene.parts.claims.next();
    expect(longer.asked.claim.leaseDurationMs).toBe(50_000);
    scene.session.onQueues([queueOf(), queueOf({ name: 'short', leaseDurationMs: 5_000 })]);
    longer.answer({ jobs: [], decision: 'EMPTY' });
    expect((await scene.parts.claims.next()).asked.claim.leaseDurationMs).toBe(LEASE_MS);
    const asked = new SessionScene({ leaseDurationMs: 7_000 });
    asked.session.onQueues([queueOf({ leaseDurationMs: 5_000 })]);
    expect((await asked.parts.claims.next()).asked.claim.leaseDurationMs).toBe(7_000);
  });
});
