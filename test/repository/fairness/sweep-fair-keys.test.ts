/** A key is forgotten once it has no jobs whose order it keeps, and not before. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { idsOf, Stage, tokenOf } from '../../engine/stage.ts';
import { keptKeys, lay, serve } from './ground.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  await stage.sql`truncate stint.fair`;
  queue = await stage.queue();
});
afterAll(() => stage.close());

const a = { fairnessKey: 'a' };
const b = { fairnessKey: 'b' };

describe('a sweep of the fairness keys', () => {
  it('forgets those whose jobs are over, and leaves those that have some', async () => {
    await stage.enqueue(queue, b, a, a, b);
    await serve(stage, queue, 2);
    await lay(stage, queue, 2, a);
    await serve(stage, queue, 2);
    expect(await stage.repository.sweepFairKeys(null)).toMatchObject({ swept: 1 });
    expect(await keptKeys(stage, queue)).toEqual(['', 'a']);
  });

  it('forgets all of an empty queue, the empty key last', async () => {
    await stage.enqueue(queue, a, b, {});
    await serve(stage, queue, 3);
    expect(await stage.repository.sweepFairKeys(null)).toEqual({ swept: 2, next: null });
    expect(await keptKeys(stage, queue)).toEqual(['']);
    expect(await stage.repository.sweepFairKeys(null)).toEqual({ swept: 1, next: null });
    expect(await keptKeys(stage, queue)).toEqual([]);
  });

  it('has what comes after it be plain FIFO again, and no one overtaken', async () => {
    await stage.enqueue(queue, a);
    const plain = [...(await lay(stage, queue, 20, {}))];
    expect(await serve(stage, queue, 2)).toEqual(['a', '']);
    plain.shift();
    await stage.repository.sweepFairKeys(null);
    await stage.repository.sweepFairKeys(null);
    expect(await keptKeys(stage, queue)).toEqual([]);
    plain.push(...(await lay(stage, queue, 5, {})));
    await stage.enqueue(queue, b);
    plain.push(...(await lay(stage, queue, 5, {})));
    const given = await stage.claim(queue, { maxJobs: 40 });
    expect(idsOf(given.filter(({ job }) => job.fairnessKey === ''))).toEqual(plain);
  });

  it('leaves a key whose job is in flight and may come back to its place', async () => {
    await stage.enqueue(queue, b, a, b, b);
    const [one, two] = await stage.claim(queue, { maxJobs: 2 });
    if (one === undefined || two === undefined) throw new Error('too few were given');
    expect([one.job.fairnessKey, two.job.fairnessKey]).toEqual(['b', 'a']);
    await stage.repository.sweepFairKeys(null);
    expect(await keptKeys(stage, queue)).toEqual(['', 'a', 'b']);
    await stage.repository.releaseMany([one, two].map((held) => ({ token: tokenOf(held), delayMs: 0 })));
    const [later] = await stage.enqueue(queue, a);
    const given = await stage.claim(queue, { maxJobs: 5 });
    expect(idsOf(given.filter(({ job }) => job.fairnessKey === 'a'))).toEqual([two.job.jobId, later]);
  });

  it('passes over a key that somebody draws for at this moment', async () => {
    await stage.enqueue(queue, a, b);
    await serve(stage, queue, 2);
    const drawing = await stage.stranger((sql) => sql`update stint.fair set span = 1 where queue_id = ${queue.id} and key = 'a'`);
    expect(await stage.repository.sweepFairKeys(null)).toMatchObject({ swept: 1 });
    await drawing.commit();
    expect(await keptKeys(stage, queue)).toEqual(['', 'a']);
  });

  it('walks over all of them, a page at a time', async () => {
    await stage.enqueue(queue, ...Array.from({ length: 700 }, (_, n) => ({ fairnessKey: `k${n}` })));
    await serve(stage, queue, 700);
    const first = await stage.repository.sweepFairKeys(null);
    expect(first).toMatchObject({ swept: 499, next: { queueId: queue.id, rank: 0n } });
    expect(await stage.repository.sweepFairKeys(first.next)).toEqual({ swept: 201, next: null });
    expect(await keptKeys(stage, queue)).toEqual(['']);
  });
});
