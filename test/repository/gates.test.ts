/** Each way in which a token moves: the gates of the queues that it leaves and comes to count it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import { Stage } from '../engine/stage.ts';
import { countsOf, NONE, put } from '../support/bounds.ts';
import { EXPLICIT, EXTERNAL, failed, held, later, MOVES, moveOn, suspended, waitsForRetry } from './token-moves.ts';

let stage: Stage;
let queue: Queue;
let copies: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
  copies = await stage.queue({ namespace: queue.namespace, name: 'copies' });
  await put(stage.repository, copies, { maxQueued: 1 });
  await put(stage.repository, queue, { maxInFlight: 50, maxQueued: 50, deadLetterQueue: 'copies' });
  moveOn(stage, queue);
  // Whatever becomes READY here has its type beside it, which CheckInvariants looks for.
  await stage.repository.sortByType([queue, copies]);
});
afterAll(() => stage.close());

describe('the gate of a queue counts', () => {
  it.each(MOVES)('$what', async ({ move, expected, copies: ready }) => {
    await move();
    expect(await countsOf(stage.sql, queue)).toEqual({ counted: { ...NONE, ...expected }, there: { ...NONE, ...expected } });
    const copy = { ...NONE, ready };
    expect(await countsOf(stage.sql, copies)).toEqual({ counted: copy, there: copy });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('a copy though its queue is full', async () => {
    await stage.enqueue(copies, {});
    await failed();
    await failed();
    expect(await countsOf(stage.sql, copies)).toMatchObject({ counted: { ready: 3 }, there: { ready: 3 } });
  });

  it('what is there when it begins', async () => {
    await put(stage.repository, queue, { maxInFlight: null, maxQueued: null });
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: null });
    await held();
    await held({}, EXPLICIT);
    await suspended();
    await waitsForRetry();
    await stage.enqueue(queue, {}, later(), EXTERNAL, { ...EXTERNAL, ...later() });
    const expected = { scheduled: 2, blocked: 0, ready: 2, leased: 1, running: 1, retry_wait: 1, suspended: 1 };
    expect(await countsOf(stage.sql, queue)).toEqual({ counted: null, there: expected });
    await put(stage.repository, queue, { maxQueued: 1 });
    expect(await countsOf(stage.sql, queue)).toEqual({ counted: expected, there: expected });
  });
});

describe('a check of invariants', () => {
  const columns = Object.keys(NONE);
  it.each(columns)('finds a gate that counts %s wrong (I11)', async (column) => {
    await stage.sql`update stint.gate set ${stage.sql(column)} = ${stage.sql(column)} + 1 where queue_id = ${queue.id}`;
    expect(await stage.violations(queue.namespace)).toMatchObject([
      { invariant: 'I11', jobId: null, detail: expect.stringContaining('queue q ') },
    ]);
    expect(await stage.violations((await stage.queue()).namespace)).toEqual([]);
  });

  it('finds it however many gates come before', async () => {
    const others = await stage.repository.createQueues(
      Array.from({ length: 25 }, (_, index) => ({ namespace: queue.namespace, name: `other-${index}` })),
    );
    for (const other of others) await put(stage.repository, other, { maxQueued: 1 });
    await stage.sql`update stint.gate set ready = 5 where queue_id = any(${others.map(({ id }) => id)})`;
    expect(await stage.violations(queue.namespace)).toHaveLength(25);
  });
});
