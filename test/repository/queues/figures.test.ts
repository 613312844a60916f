/** How all queues are doing at once: the same numbers as each of them tells by itself. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { Figures } from '../../../src/engine/ports/figures.ts';
import { statsOf } from '../../engine/queue-stats.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';
import { put } from '../../support/bounds.ts';

let stage: Stage;
let busy: Queue;
let bounded: Queue;
let idle: Queue;
const failure = { code: 'no', message: '', details: Buffer.alloc(0), kind: 'TERMINAL' } as const;

beforeAll(async () => {
  stage = await Stage.open();
  busy = await stage.queue({ name: 'busy' });
  bounded = await stage.queue({ name: 'bounded' });
  idle = await stage.queue({ name: 'idle' });
  await put(stage.repository, bounded, { maxInFlight: 1 });
});
afterAll(() => stage.close());

const named = ({ queues }: Figures, { name }: Queue) => queues.find((one) => one.name === name);

async function expectAsTold(queue: Queue): Promise<void> {
  const { namespace, name, jobs, oldestReadyMs, deadLetters } = await statsOf(stage.repository, queue);
  expect(named(await stage.repository.queueFigures(10), queue)).toEqual({ namespace, name, jobs, oldestReadyMs, deadLetters });
}

it('there are none before anything was counted', async () => {
  expect(await stage.repository.queueFigures(10)).toMatchObject({ queues: [], others: null });
  await stage.repository.foldJournal();
});

it('of each queue tell what it tells by itself, before a fold and after it, by its gate and without one', async () => {
  await stage.enqueue(busy, {}, { priority: 3 }, { runAt: stage.now + 60_000_000 }, {});
  const held = await stage.held(busy);
  await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: null, jitterFactor: 1 }]);
  await stage.claim(busy, { startOnClaim: false });
  await stage.enqueue(bounded, {}, {});
  await stage.claim(bounded);
  stage.clock.advance(2_500);
  for (const queue of [busy, bounded, idle]) await expectAsTold(queue);
  await stage.repository.foldJournal();
  for (const queue of [busy, bounded, idle]) await expectAsTold(queue);
  expect(named(await stage.repository.queueFigures(10), busy)).toMatchObject({ oldestReadyMs: 2_500, deadLetters: 1 });
});

it('name the queues with the most jobs, and sum up the others', async () => {
  const all = await stage.repository.queueFigures(10);
  expect(all.others).toBeNull();
  const { queues, others } = await stage.repository.queueFigures(1);
  expect(queues.map(({ name }) => name)).toEqual(['busy']);
  expect(others).toMatchObject({ jobs: { ready: 1, running: 1, scheduled: 0 }, oldestReadyMs: 2_500, deadLetters: 0 });
  const none = await stage.repository.queueFigures(0);
  expect(none.queues).toEqual([]);
  expect(none.others?.deadLetters).toBe(1);
});

it('tell of an old snapshot', async () => {
  const stranger = await stage.stranger((sql) =>
    sql`set transaction isolation level repeatable read`.then(() => sql`select from stint.queue`),
  );
  expect((await stage.repository.queueFigures(0)).oldestSnapshotMs).toBeGreaterThanOrEqual(0);
  await stranger.rollback();
});
