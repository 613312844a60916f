/** What limits queues: whom it keeps waiting, when they look again, and what they are told. Every statement is answered by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RefusalError } from '../../src/domain/error.ts';
import type { QueueLimit } from '../../src/engine/ports/queues.ts';
import { Desk, NOTHING, workers, workersOf } from './desk.ts';
import { outcome, settled } from './lane.ts';

// Time moves only when a test moves it.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function limit(limiter: QueueLimit['limiter'], told: Partial<QueueLimit> = {}): QueueLimit {
  return { queue: 'q', limiter, ready: true, openInMs: null, ...told };
}

const FULL = limit('MAX_IN_FLIGHT');

/** A desk with queues `a` and `b` beside `q`, whose looks find these limits. */
function limited(...limits: readonly QueueLimit[]): Desk {
  const desk = new Desk();
  for (const name of ['a', 'b']) desk.queues.add(`n/${name}`);
  desk.limits = limits;
  return desk;
}

/** Somebody who has looked once, found nothing, and waits. */
async function waits(desk: Desk, told: Parameters<Desk['park']>[1] = {}): Promise<void> {
  expect(await desk.park(['w'], told)).toHaveLength(1);
}

const freed = ({ desk }: Desk, ...names: readonly string[]) => desk.freed(names.map((name) => ({ namespace: 'n', name })));

describe('a claim that finds nothing is told', () => {
  it.each<[string, readonly string[], readonly QueueLimit[], string]>([
    ['EMPTY where nothing limits it', ['q'], [], 'EMPTY'],
    ['BACKPRESSURE where jobs wait for a place', ['q'], [FULL], 'BACKPRESSURE'],
    ['BACKPRESSURE where jobs wait for a permit', ['q'], [limit('RATE', { openInMs: 10 })], 'BACKPRESSURE'],
    ['EMPTY where no place is left and no job waits for one', ['q'], [{ ...FULL, ready: false }], 'EMPTY'],
    ['PAUSED where the queue is stopped', ['q'], [limit('STATUS')], 'PAUSED'],
    [
      'PAUSED where one is stopped and the other does not answer a claim',
      ['q', 'r'],
      [limit('STATUS'), limit('MODE', { queue: 'r' })],
      'PAUSED',
    ],
    [
      'PAUSED where all of its queues are stopped',
      ['a', 'b'],
      [limit('STATUS', { queue: 'a' }), limit('STATUS', { queue: 'b' })],
      'PAUSED',
    ],
    ['EMPTY where one of its queues is not stopped', ['a', 'b'], [limit('STATUS', { queue: 'a' })], 'EMPTY'],
    ['EMPTY where one of its queues is not there yet', ['a', 'new'], [limit('STATUS', { queue: 'a' })], 'EMPTY'],
    [
      'BACKPRESSURE where one is stopped and one is full',
      ['a', 'b'],
      [limit('STATUS', { queue: 'a' }), { ...FULL, queue: 'b' }],
      'BACKPRESSURE',
    ],
    ['EMPTY where only one of its queues is not for claims', ['a', 'b'], [limit('MODE', { queue: 'a' })], 'EMPTY'],
  ])('%s', async (_what, queues, limits, decision) => {
    const desk = limited(...limits);
    const claimed = desk.claim({ queues, waitMs: 0 });
    (await desk.look()).find();
    expect(await claimed).toEqual({ jobs: [], decision });
  });

  it('what the last look found, when its time is up', async () => {
    const desk = limited(FULL);
    const [claimed] = await desk.park(['w'], { waitMs: 2_000 });
    desk.limits = [limit('STATUS')];
    desk.desk.wakeAll();
    (await desk.look()).find();
    await settled();
    vi.advanceTimersByTime(2_000);
    expect(await claimed).toEqual({ jobs: [], decision: 'PAUSED' });
  });
});

describe('a claim that waits for a place in flight', () => {
  it('looks again when its queue has one', async () => {
    const desk = limited(FULL);
    const [claimed] = await desk.park(['w']);
    freed(desk, 'q');
    (await desk.look()).find(1);
    expect(workersOf(await (claimed ?? NOTHING))).toEqual(['w']);
  });

  it('is left alone where another queue has one', async () => {
    const desk = limited({ ...FULL, queue: 'a' });
    await waits(desk, { queues: ['a', 'b'] });
    freed(desk, 'b', 'q');
    await settled();
    expect(desk.unseen).toBe(0);
    freed(desk, 'a');
    await settled();
    expect(desk.unseen).toBe(1);
  });

  it.each<[string, readonly QueueLimit[]]>([
    ['nothing', []],
    ['an operator', [limit('STATUS')]],
    ['a rate', [limit('RATE', { openInMs: 1_000 })]],
  ])('is the only one: who is kept by %s does not look for one', async (_what, limits) => {
    const desk = limited(...limits);
    await waits(desk);
    freed(desk, 'q');
    await settled();
    expect(desk.unseen).toBe(0);
  });

  it('looks again when the place was left while its look was under way', async () => {
    const desk = limited(FULL);
    const claimed = desk.claim();
    const look = await desk.look();
    freed(desk, 'q');
    look.find();
    await settled();
    expect(desk.unseen).toBe(1);
    (await desk.look()).find(1);
    expect(workersOf(await claimed)).toEqual(['w']);
  });

  it('looks once more for such a place, and not again and again', async () => {
    const desk = limited(FULL);
    void desk.claim();
    const look = await desk.look();
    freed(desk, 'q');
    look.find();
    (await desk.look()).find();
    await settled();
    expect(desk.unseen).toBe(0);
  });

  it('does not look again for a place that it does not wait for', async () => {
    const desk = limited();
    void desk.claim();
    const look = await desk.look();
    freed(desk, 'q');
    look.find();
    await settled();
    expect(desk.unseen).toBe(0);
  });
});

describe('a claim that waits for a permit', () => {
  it('looks again when the bucket has one', async () => {
    const desk = limited(limit('RATE', { openInMs: 250 }));
    const [claimed] = await desk.park(['w']);
    vi.advanceTimersByTime(249);
    await settled();
    expect(desk.unseen).toBe(0);
    vi.advanceTimersByTime(1);
    (await desk.look()).find(1);
    expect(await claimed).toMatchObject({ decision: 'ASSIGNED' });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('of several queues looks again when the first of them has one', async () => {
    const desk = limited(limit('RATE', { queue: 'a', openInMs: 900 }), limit('RATE', { queue: 'b', openInMs: 300 }));
    await waits(desk, { queues: ['a', 'b'] });
    vi.advanceTimersByTime(300);
    await settled();
    expect(desk.unseen).toBe(1);
  });

  it('looks after five seconds at the latest', async () => {
    const desk = limited(limit('RATE', { openInMs: 3_600_000 }));
    await waits(desk);
    vi.advanceTimersByTime(5_000);
    await settled();
    expect(desk.unseen).toBe(1);
  });

  it('waits as long as the last look says', async () => {
    const desk = limited(limit('RATE', { openInMs: 250 }));
    await waits(desk);
    desk.limits = [limit('RATE', { openInMs: 4_000 })];
    vi.advanceTimersByTime(250);
    (await desk.look()).find();
    await settled();
    vi.advanceTimersByTime(3_999);
    await settled();
    expect(desk.unseen).toBe(0);
    vi.advanceTimersByTime(1);
    await settled();
    expect(desk.unseen).toBe(1);
  });
});

describe('queues that are not for claims', () => {
  const MISMATCH = [limit('MODE', { queue: 'a' }), limit('MODE', { queue: 'b' })];
  const refusalOf = (claimed: Promise<unknown> | undefined) =>
    outcome(claimed ?? Promise.resolve()).then((error) => (error instanceof RefusalError ? error.refusal : error));
  const REFUSED = { kind: 'mode_mismatch', queues: ['a', 'b'] };

  it('refuse a claim, where they are all that it names', async () => {
    const desk = limited(...MISMATCH);
    const claimed = refusalOf(desk.claim({ queues: ['b', 'a'] }));
    (await desk.look()).find();
    expect(await claimed).toEqual(REFUSED);
    expect(desk.readers).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('refuse who waits for them, once they are so', async () => {
    const desk = limited();
    const [claimed] = await desk.park(['w'], { queues: ['a', 'b'] });
    const refused = refusalOf(claimed);
    desk.limits = MISMATCH;
    desk.desk.wakeAll();
    (await desk.look()).find();
    expect(await refused).toEqual(REFUSED);
  });

  it('refuse all who wait, however many', async () => {
    const desk = limited(...MISMATCH);
    const refused = workers(3).map((workerId) => refusalOf(desk.claim({ workerId, queues: ['a', 'b'], maxJobs: 600 })));
    for (const workerId of workers(3)) {
      const look = await desk.look();
      expect(look.workers).toEqual([workerId]);
      look.find();
    }
    expect(await Promise.all(refused)).toEqual([REFUSED, REFUSED, REFUSED]);
  });
});

it('an operator who changed a queue has everybody look again', async () => {
  const desk = limited(limit('STATUS'));
  await waits(desk);
  await waits(desk, { queues: ['a'] });
  desk.desk.wakeAll();
  await settled();
  expect(desk.unseen).toBe(2);
});
