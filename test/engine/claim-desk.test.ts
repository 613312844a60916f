/** Who waits, who is served, who is woken: every statement is answered by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Claimed } from '../../src/engine/engine.ts';
import { claimedJob, Desk } from './desk.ts';
import { settled } from './lane.ts';

const NOTHING: Claimed = { jobs: [], decision: 'EMPTY' };
const workersOf = (claimed: Claimed) => claimed.jobs.map(({ job }) => job.workerId);
const workers = (count: number) => Array.from({ length: count }, (_, index) => `w${index}`);

/** Claims that have all looked once, found nothing, and wait; in this order. */
async function park(desk: Desk, workerIds: readonly string[], told: Parameters<Desk['claim']>[0] = {}): Promise<Promise<Claimed>[]> {
  const claims = workerIds.map((workerId) => desk.claim({ ...told, workerId }));
  await settled();
  while (desk.unseen > 0) {
    (await desk.look()).find();
    await settled();
  }
  return claims;
}

describe('a claim', () => {
  it('gets what is there', async () => {
    const desk = new Desk();
    const claimed = desk.claim({ maxJobs: 2 });
    (await desk.look()).find(2);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED', jobs: [{}, {}] });
    expect(desk.claimsTold).toBe(1);
  });

  it('that does not wait is EMPTY after one look', async () => {
    const desk = new Desk();
    const claimed = desk.claim({ waitMs: 0 });
    (await desk.look()).find();
    expect(await claimed).toEqual(NOTHING);
    expect(desk.unseen).toBe(0);
  });

  it('that does not wait gets a look of its own when another one is under way', async () => {
    const desk = new Desk();
    const first = desk.claim({ workerId: 'first', waitMs: 0 });
    const look = await desk.look();
    const second = desk.claim({ workerId: 'second', waitMs: 0 });
    await settled();
    look.find();
    expect(await first).toEqual(NOTHING);
    const next = await desk.look();
    next.find(1);
    expect(workersOf(await second)).toEqual(['second']);
  });

  it('that does not wait is looked for again when the others have filled the response', async () => {
    const desk = new Desk();
    const [held] = [desk.claim({ workerId: 'held', waitMs: 0 })];
    const look = await desk.look();
    const claims = workers(3).map((workerId) => desk.claim({ workerId, waitMs: 0 }));
    await settled();
    look.find();
    (await desk.look()).find(1, 1, 0);
    const last = await desk.look();
    expect(last.workers).toEqual(['w2']);
    last.find(1);
    expect((await Promise.all(claims)).map(workersOf)).toEqual([['w0'], ['w1'], ['w2']]);
    expect(await held).toEqual(NOTHING);
  });

  it('waits until its queue is woken', async () => {
    const desk = new Desk();
    const [claimed] = await park(desk, ['w']);
    desk.wake('q');
    (await desk.look()).find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('waits on a queue that is not there yet', async () => {
    const desk = new Desk();
    const claimed = desk.claim({ queues: ['new'] });
    await settled();
    expect(desk.unseen).toBe(0);
    desk.queues.add('n/new');
    desk.wake('new');
    const look = await desk.look();
    expect(look.queues).toEqual(['new']);
    look.find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('looks again when it is woken while a look is under way', async () => {
    const desk = new Desk();
    const claimed = desk.claim();
    const look = await desk.look();
    desk.wake('q');
    look.find(0);
    (await desk.look()).find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('is woken by each of its queues, and by no other', async () => {
    const desk = new Desk();
    for (const name of ['a', 'b', 'c']) desk.queues.add(`n/${name}`);
    const [both] = await park(desk, ['both'], { queues: ['b', 'a'] });
    const [onlyA] = await park(desk, ['only'], { queues: ['a'] });
    desk.wake('c');
    await settled();
    expect(desk.unseen).toBe(0);
    desk.wake('b');
    const look = await desk.look();
    expect(look.queues).toEqual(['a', 'b']);
    look.find(1);
    expect(workersOf(await (both ?? NOTHING))).toEqual(['both']);
    await settled();
    expect(desk.unseen).toBe(0);
    desk.wake('a');
    (await desk.look()).find(1);
    expect(workersOf(await (onlyA ?? NOTHING))).toEqual(['only']);
  });
});

describe('many who wait', () => {
  it('are served by one statement, in the order in which they came', async () => {
    const desk = new Desk();
    const claims = await park(desk, workers(5));
    desk.wake('q');
    const look = await desk.look();
    expect(look.workers).toEqual(workers(5));
    look.find(1, 1);
    expect(await Promise.all(claims.slice(0, 2))).toMatchObject([{ decision: 'ASSIGNED' }, { decision: 'ASSIGNED' }]);
    const next = await desk.look();
    expect(next.workers).toEqual(['w2', 'w3', 'w4']);
    next.find();
    await settled();
    expect(desk.unseen).toBe(0);
  });

  it('are served a thousand jobs at a time until nothing is left, and nobody is passed over', async () => {
    const desk = new Desk();
    const claims = await park(desk, workers(4), { maxJobs: 400 });
    desk.wake('q');
    const first = await desk.look();
    expect(first.workers).toEqual(['w0', 'w1']);
    first.find(400, 400);
    const second = await desk.look();
    expect(second.workers).toEqual(['w2', 'w3']);
    second.find(3, 0);
    expect((await Promise.all(claims.slice(0, 3))).map(({ jobs }) => jobs.length)).toEqual([400, 400, 3]);
    const third = await desk.look();
    expect(third.workers).toEqual(['w3']);
    third.find(0);
    await settled();
    expect(desk.unseen).toBe(0);
  });

  it('cost one statement, not a loop of them, when there is nothing', async () => {
    const desk = new Desk();
    await park(desk, workers(4), { maxJobs: 1_000 });
    desk.wake('q');
    (await desk.look()).find();
    await settled();
    expect(desk.unseen).toBe(0);
  });

  it('are all answered when they do not wait and there is nothing for the first thousand', async () => {
    const desk = new Desk();
    const claims = workers(4).map((workerId) => desk.claim({ workerId, maxJobs: 1_000, waitMs: 0 }));
    for (let looks = 0; looks < 4; looks += 1) {
      await settled();
      if (desk.unseen > 0) (await desk.look()).find();
    }
    expect(await Promise.all(claims)).toEqual([NOTHING, NOTHING, NOTHING, NOTHING]);
  });

  it('are 50,000 at most', async () => {
    const desk = new Desk();
    const claims = workers(50_000).map((workerId) => desk.claim({ workerId }));
    await settled();
    await expect(desk.claim()).rejects.toMatchObject({ refusal: { kind: 'overloaded', what: 'parked claims' } });
    (await desk.look()).find();
    desk.desk.drain();
    while (desk.unseen > 0) (await desk.look()).find();
    expect((await Promise.all(claims)).every(({ decision }) => decision === 'EMPTY')).toBe(true);
  });

  it('keep the log read as long as there is one of them', async () => {
    const desk = new Desk();
    const claims = await park(desk, workers(2));
    expect(desk.readers).toBe(1);
    desk.wake('q');
    (await desk.look()).find(1);
    await claims[0];
    expect(desk.readers).toBe(1);
    (await desk.look()).find(1);
    await claims[1];
    expect(desk.readers).toBe(0);
  });
});

describe('a statement that fails', () => {
  it('rejects those it served and leaves the others parked', async () => {
    const desk = new Desk();
    const claims = await park(desk, workers(3), { maxJobs: 500 });
    desk.wake('q');
    const look = await desk.look();
    expect(look.workers).toEqual(['w0', 'w1']);
    look.crash(new Error('gone'));
    await expect(claims[0]).rejects.toThrow('gone');
    await expect(claims[1]).rejects.toThrow('gone');
    desk.wake('q');
    const next = await desk.look();
    expect(next.workers).toEqual(['w2']);
    next.find(1);
    expect(await claims[2]).toMatchObject({ decision: 'ASSIGNED' });
    const fresh = desk.claim({ workerId: 'fresh' });
    (await desk.look()).find(1);
    expect(workersOf(await fresh)).toEqual(['fresh']);
  });
});

describe('time', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('ends a wait with EMPTY, and leaves no timer behind', async () => {
    const desk = new Desk();
    const [claimed] = await park(desk, ['w'], { waitMs: 2_000 });
    vi.advanceTimersByTime(1_999);
    await settled();
    expect(desk.readers).toBe(1);
    vi.advanceTimersByTime(1);
    expect(await claimed).toEqual(NOTHING);
    expect(desk.readers).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that runs out during a statement does not lose what the statement brings', async () => {
    const desk = new Desk();
    const [claimed] = await park(desk, ['w'], { waitMs: 2_000 });
    desk.wake('q');
    const look = await desk.look();
    vi.advanceTimersByTime(2_000);
    look.find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('that runs out during a statement which brings nothing ends the wait', async () => {
    const desk = new Desk();
    const [claimed] = await park(desk, ['w'], { waitMs: 2_000 });
    desk.wake('q');
    const look = await desk.look();
    vi.advanceTimersByTime(2_000);
    look.find(0);
    expect(await claimed).toEqual(NOTHING);
  });

  it('looks again every five seconds, should a wake-up have been lost', async () => {
    const desk = new Desk();
    const [claimed] = await park(desk, ['w']);
    vi.advanceTimersByTime(4_999);
    await settled();
    expect(desk.unseen).toBe(0);
    vi.advanceTimersByTime(1);
    (await desk.look()).find(0);
    await settled();
    vi.advanceTimersByTime(5_000);
    (await desk.look()).find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('brings a failed look again for those who still wait', async () => {
    const desk = new Desk();
    const claims = await park(desk, workers(2), { maxJobs: 1_000 });
    desk.wake('q');
    (await desk.look()).crash(new Error('gone'));
    await expect(claims[0]).rejects.toThrow('gone');
    await settled();
    vi.advanceTimersByTime(5_000);
    const look = await desk.look();
    expect(look.workers).toEqual(['w1']);
    look.find(1);
    expect(await claims[1]).toMatchObject({ decision: 'ASSIGNED' });
  });
});

describe('a caller who has gone', () => {
  it('is answered at once, and the next statement does not serve it', async () => {
    const desk = new Desk();
    const gone = new AbortController();
    const claimed = desk.claim({ workerId: 'gone' }, gone.signal);
    (await desk.look()).find(0);
    await settled();
    const [waiting] = await park(desk, ['waiting']);
    gone.abort();
    expect(await claimed).toEqual(NOTHING);
    desk.wake('q');
    const look = await desk.look();
    expect(look.workers).toEqual(['waiting']);
    look.find(1);
    await waiting;
    expect(desk.givenBack).toEqual([]);
  });

  it('during a statement gives back what that brings, before it is answered', async () => {
    const desk = new Desk();
    const gone = new AbortController();
    const giving = new AbortController();
    desk.givingBack = new Promise((resolve) => giving.signal.addEventListener('abort', () => resolve()));
    const claimed = desk.claim({ workerId: 'gone' }, gone.signal);
    const look = await desk.look();
    gone.abort();
    look.find(1);
    let answered = false;
    void claimed.then(() => (answered = true));
    await settled();
    expect(answered).toBe(false);
    giving.abort();
    expect(await claimed).toEqual(NOTHING);
    expect(desk.givenBack.map(({ job }) => job.workerId)).toEqual(['gone']);
  });

  it('never parks when it went while its leases were looked for', async () => {
    const desk = new Desk();
    const gone = new AbortController();
    const found = new AbortController();
    desk.searching = new Promise((resolve) => found.signal.addEventListener('abort', () => resolve()));
    const claimed = desk.claim({ requestId: 'r' }, gone.signal);
    gone.abort();
    found.abort();
    expect(await claimed).toEqual(NOTHING);
    await settled();
    expect(desk.unseen).toBe(0);
    expect(desk.readers).toBe(0);
  });
});

describe('a repeated claim', () => {
  it('gets the live leases of its request again, without a statement', async () => {
    const desk = new Desk();
    const lease = claimedJob('w');
    desk.leases.set('r', [lease]);
    expect(await desk.claim({ requestId: 'r' })).toEqual({ jobs: [lease], decision: 'ASSIGNED' });
    expect(desk.unseen).toBe(0);
  });

  it('takes the place of the parked one', async () => {
    const desk = new Desk();
    const former = desk.claim({ requestId: 'r' });
    (await desk.look()).find(0);
    const again = desk.claim({ requestId: 'r' });
    expect(await former).toEqual(NOTHING);
    const look = await desk.look();
    expect(look.workers).toEqual(['w']);
    look.find(1);
    expect(await again).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('takes the place of the parked one also when it names other queues', async () => {
    const desk = new Desk();
    desk.queues.add('n/other');
    const former = desk.claim({ requestId: 'r' });
    (await desk.look()).find(0);
    const again = desk.claim({ requestId: 'r', queues: ['other'] });
    expect(await former).toEqual(NOTHING);
    desk.wake('q');
    const look = await desk.look();
    expect(look.queues).toEqual(['other']);
    look.find(1);
    expect(await again).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('gets what a statement was giving to the former one', async () => {
    const desk = new Desk();
    const former = desk.claim({ requestId: 'r' });
    const look = await desk.look();
    const again = desk.claim({ requestId: 'r' });
    await settled();
    const lease = claimedJob('w');
    desk.leases.set('r', [lease]);
    look.find(1);
    expect(await again).toEqual({ jobs: [lease], decision: 'ASSIGNED' });
    expect(await former).toEqual(NOTHING);
    expect(desk.givenBack).toEqual([]);
    expect(desk.unseen).toBe(0);
  });

  it('waits until a former one, whose caller has gone, has given back', async () => {
    const desk = new Desk();
    const gone = new AbortController();
    const giving = new AbortController();
    desk.givingBack = new Promise((resolve) => giving.signal.addEventListener('abort', () => resolve()));
    const former = desk.claim({ requestId: 'r' }, gone.signal);
    const look = await desk.look();
    gone.abort();
    desk.leases.set('r', [claimedJob('w')]);
    look.find(1);
    await settled();
    const again = desk.claim({ requestId: 'r' });
    await settled();
    desk.leases.delete('r');
    giving.abort();
    expect(await former).toEqual(NOTHING);
    (await desk.look()).find(1);
    expect(await again).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('of another worker or without an id stands beside it', async () => {
    const desk = new Desk();
    const claims = [desk.claim({ requestId: 'r' }), desk.claim({ requestId: 'r', workerId: 'v' }), desk.claim(), desk.claim()];
    await settled();
    (await desk.look()).find(0);
    await settled();
    while (desk.unseen > 0) (await desk.look()).find();
    desk.wake('q');
    const look = await desk.look();
    expect(look.workers).toHaveLength(4);
    look.find(1, 1, 1, 1);
    expect((await Promise.all(claims)).map(({ decision }) => decision)).toEqual(['ASSIGNED', 'ASSIGNED', 'ASSIGNED', 'ASSIGNED']);
  });
});

describe('draining', () => {
  it('answers all who wait with EMPTY, and claims nothing any more', async () => {
    const desk = new Desk();
    const claims = await park(desk, workers(3));
    desk.desk.drain();
    expect(await Promise.all(claims)).toEqual([NOTHING, NOTHING, NOTHING]);
    expect(await desk.claim()).toEqual(NOTHING);
    desk.wake('q');
    await settled();
    expect(desk.unseen).toBe(0);
    expect(desk.readers).toBe(0);
  });

  it('hands out what a statement under way brings, and looks no further', async () => {
    const desk = new Desk();
    const claims = workers(2).map((workerId) => desk.claim({ workerId }));
    await settled();
    const look = await desk.look();
    desk.desk.drain();
    look.find(1);
    expect(workersOf(await (claims[0] ?? NOTHING))).toEqual(['w0']);
    expect(await claims[1]).toEqual(NOTHING);
    await settled();
    expect(desk.unseen).toBe(0);
  });

  it('lets nobody park who was looking for its leases', async () => {
    const desk = new Desk();
    const found = new AbortController();
    desk.searching = new Promise((resolve) => found.signal.addEventListener('abort', () => resolve()));
    const claimed = desk.claim({ requestId: 'r' });
    desk.desk.drain();
    found.abort();
    expect(await claimed).toEqual(NOTHING);
    expect(desk.unseen).toBe(0);
  });
});
