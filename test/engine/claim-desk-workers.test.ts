/** Claims by type, and of queues that bound what a worker holds: who is looked for together, and who next. Every statement is answered by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import type { QueueLimit } from '../../src/engine/ports/queues.ts';
import { Desk, NOTHING, workers, workersOf } from './desk.ts';
import { settled } from './lane.ts';

// Time moves only when a test moves it.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const HELD: QueueLimit = { queue: 'q', limiter: 'PER_WORKER', ready: true, openInMs: null };
const freed = ({ desk }: Desk, name = 'q') => desk.freed([{ namespace: 'n', name }]);

/** A desk whose queue bounds what a worker holds. */
function bounding(limits: readonly QueueLimit[] = [HELD]): Desk {
  const desk = new Desk();
  desk.oneSlot = true;
  desk.limits = limits;
  return desk;
}

describe('claims by type', () => {
  it('are looked for together with those of the same types, in whatever order, and with no others', async () => {
    const desk = new Desk();
    expect(await desk.park(['a'], { types: ['x', 'y'] })).toHaveLength(1);
    expect(await desk.park(['b'], { types: ['y', 'x'] })).toHaveLength(1);
    expect(await desk.park(['c'], { types: ['x'] })).toHaveLength(1);
    expect(await desk.park(['d'])).toHaveLength(1);
    desk.wake('q');
    await settled();
    const looks = [await desk.look(), await desk.look(), await desk.look()];
    expect(looks.map(({ types, workers: served }) => [types, served])).toEqual([
      [
        ['x', 'y'],
        ['a', 'b'],
      ],
      [['x'], ['c']],
      [[], ['d']],
    ]);
  });

  it('take nothing from the others', async () => {
    const desk = new Desk();
    let isAnswered = false;
    const [typed] = await desk.park(['a'], { types: ['x'] });
    void typed?.then(() => (isAnswered = true));
    const [any] = await desk.park(['b']);
    desk.wake('q');
    (await desk.look()).find();
    (await desk.look()).find(1);
    expect(workersOf((await any) ?? NOTHING)).toEqual(['b']);
    await settled();
    expect(isAnswered).toBe(false);
  });
});

describe('where a queue bounds what a worker holds', () => {
  it('all who wait are looked for, however much they want together, until none of them gets any', async () => {
    const desk = bounding();
    const claims = await desk.park(workers(3), { maxJobs: LIMITS.claimJobs });
    desk.wake('q');
    const first = await desk.look();
    expect(first.workers).toEqual(['w0', 'w1', 'w2']);
    first.find(0, 5, 0);
    expect(workersOf((await claims[1]) ?? NOTHING)).toHaveLength(5);
    const second = await desk.look();
    expect(second.workers).toEqual(['w0', 'w2']);
    second.find();
    await settled();
    expect(desk.unseen).toBe(0);
  });

  it('a first look that was cut short is followed by one for all', async () => {
    const desk = bounding();
    const waiting = [desk.claim({ workerId: 'a', maxJobs: 1_000 }), desk.claim({ workerId: 'b', maxJobs: 1_000 })];
    const first = await desk.look();
    expect(first.workers).toEqual(['a']);
    first.find(0);
    const second = await desk.look();
    expect(second.workers).toEqual(['a', 'b']);
    second.find(0, 2);
    expect(workersOf((await waiting[1]) ?? NOTHING)).toEqual(['b', 'b']);
  });

  it('those who fit into no look come in the next, and the first again when they are woken', async () => {
    const desk = bounding();
    expect(await desk.park(workers(LIMITS.claimSlots + 2))).toHaveLength(LIMITS.claimSlots + 2);
    desk.wake('q');
    const first = await desk.look();
    expect(first.workers).toHaveLength(LIMITS.claimSlots);
    first.find();
    const second = await desk.look();
    expect(second.workers).toEqual([`w${LIMITS.claimSlots}`, `w${LIMITS.claimSlots + 1}`]);
    second.find();
    await settled();
    expect(desk.unseen).toBe(0);
    freed(desk);
    expect((await desk.look()).workers[0]).toBe('w0');
  });

  it('a worker that has no room is told BACKPRESSURE, and looks again when a place is free', async () => {
    const desk = bounding();
    const now = desk.claim({ waitMs: 0 });
    (await desk.look()).find();
    expect(await now).toEqual({ jobs: [], decision: 'BACKPRESSURE' });
    const [later] = await desk.park(['w']);
    freed(desk, 'other');
    await settled();
    expect(desk.unseen).toBe(0);
    freed(desk);
    (await desk.look()).find(1);
    expect(workersOf((await later) ?? NOTHING)).toEqual(['w']);
  });

  it('a claim of which nobody was found stays when another got some', async () => {
    const desk = bounding();
    const waiting = [desk.claim({ workerId: 'a', waitMs: 0 }), desk.claim({ workerId: 'b', waitMs: 0 })];
    (await desk.look()).find(0, 1);
    expect(workersOf((await waiting[1]) ?? NOTHING)).toEqual(['b']);
    const second = await desk.look();
    expect(second.workers).toEqual(['a']);
    second.find();
    expect(await waiting[0]).toEqual({ jobs: [], decision: 'BACKPRESSURE' });
  });
});
