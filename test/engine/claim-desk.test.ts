/** Who waits, who is served, who is woken: every statement is answered by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Desk, NOTHING, workers, workersOf } from './desk.ts';
import { settled } from './lane.ts';

// Time stands still: nobody is saved by the look that comes after five seconds.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

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
    const [claimed] = await desk.park(['w']);
    desk.wake('q');
    (await desk.look()).find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('that is parked is looked for in the very turn of the event loop in which it is woken', async () => {
    const desk = new Desk();
    const [claimed] = await desk.park(['w']);
    let isOver = false;
    setImmediate(() => (isOver = true));
    desk.wake('q');
    const look = await desk.look();
    expect(isOver).toBe(false);
    look.find(1);
    await claimed;
  });

  it('asks for hints only when it has found nothing', async () => {
    const desk = new Desk();
    const claimed = desk.claim();
    const look = await desk.look();
    expect(desk.readers).toBe(0);
    look.find(1);
    await claimed;
    expect(desk.readers).toBe(0);
    const [parked] = await desk.park(['w']);
    expect(desk.readers).toBe(1);
    desk.wake('q');
    (await desk.look()).find(1);
    await parked;
  });

  it('is served together with who asks in the same turn of the event loop', async () => {
    const desk = new Desk();
    const claims = [desk.claim({ workerId: 'a' })];
    await new Promise((resolve) => process.nextTick(resolve));
    claims.push(desk.claim({ workerId: 'b' }));
    const look = await desk.look();
    expect(look.workers).toEqual(['a', 'b']);
    look.find(1, 1);
    await Promise.all(claims);
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
    await settled();
    expect(desk.unseen).toBe(1);
    (await desk.look()).find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('is woken by each of its queues, and by no other', async () => {
    const desk = new Desk();
    for (const name of ['a', 'b', 'c']) desk.queues.add(`n/${name}`);
    const [both] = await desk.park(['both'], { queues: ['b', 'a'] });
    const [onlyA] = await desk.park(['only'], { queues: ['a'] });
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
    const claims = await desk.park(workers(5));
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
    const claims = await desk.park(workers(4), { maxJobs: 400 });
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
    const waiting = await desk.park(workers(4), { maxJobs: 1_000 });
    desk.wake('q');
    (await desk.look()).find();
    await settled();
    expect(desk.unseen).toBe(0);
    expect(waiting).toHaveLength(4);
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
    // Played timers are slow by the ten thousand.
    vi.useRealTimers();
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
    const claims = await desk.park(workers(2));
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
    const claims = await desk.park(workers(3), { maxJobs: 500 });
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

describe('draining', () => {
  it('answers all who wait with EMPTY, and claims nothing any more', async () => {
    const desk = new Desk();
    const claims = await desk.park(workers(3));
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
