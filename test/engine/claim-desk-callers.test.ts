/** Callers whose time runs out, who go, who ask again: every statement is answered by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { claimedJob, Desk, NOTHING, workers } from './desk.ts';
import { settled } from './lane.ts';

// Time moves only when a test moves it.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('time', () => {
  it('ends a wait with EMPTY, and leaves no timer behind', async () => {
    const desk = new Desk();
    const [claimed] = await desk.park(['w'], { waitMs: 2_000 });
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
    const [claimed] = await desk.park(['w'], { waitMs: 2_000 });
    desk.wake('q');
    const look = await desk.look();
    vi.advanceTimersByTime(2_000);
    look.find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
  });

  it('that runs out during a statement which brings nothing ends the wait', async () => {
    const desk = new Desk();
    const [claimed] = await desk.park(['w'], { waitMs: 2_000 });
    desk.wake('q');
    const look = await desk.look();
    vi.advanceTimersByTime(2_000);
    look.find(0);
    expect(await claimed).toEqual(NOTHING);
  });

  it('looks again every five seconds, should a wake-up have been lost', async () => {
    const desk = new Desk();
    const [claimed] = await desk.park(['w']);
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
    const claims = await desk.park(workers(2), { maxJobs: 1_000 });
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
    const [waiting] = await desk.park(['waiting']);
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
    expect(await desk.claim({ requestId: 'r' })).toEqual({ jobs: [lease], decision: 'ASSIGNED', repeated: true });
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
    expect(await again).toEqual({ jobs: [lease], decision: 'ASSIGNED', repeated: true });
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
