import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { idsOf, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const backlog = async () => (await stage.repository.peekQueue(queue, 2_000)).map(({ jobId }) => jobId);
const scheduled = (...inMs: number[]) => stage.enqueue(queue, ...inMs.map((delay) => ({ runAt: stage.now + delay * 1_000 })));

describe('promotion', () => {
  it('makes due jobs READY in due order, behind what is READY already', async () => {
    const [late, early, middle, never] = await scheduled(3_000, 1_000, 2_000, 3_001);
    const [ready] = await stage.enqueue(queue, {});
    stage.clock.advance(3_000);
    const round = await stage.repository.promoteDue();
    expect(round).toEqual({
      count: 3,
      more: false,
      touchesKeys: false,
      nextDueAt: stage.now + 1_000,
      databaseTime: stage.now,
      readyQueues: [{ namespace: queue.namespace, name: queue.name }],
    });
    expect(await backlog()).toEqual([ready, early, middle, late]);
    expect((await stage.job(never ?? stage.mint.mint())).state).toBe('SCHEDULED');
    stage.clock.advance(1);
    await stage.repository.promoteDue();
    expect(await backlog()).toEqual([ready, early, middle, late, never]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('orders a job that was retried among the scheduled ones by its due time', async () => {
    const held = await stage.held(queue);
    const failure = { code: 'x', message: '', details: new Uint8Array(), kind: 'RETRYABLE' as const };
    await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: 1_500, jitterFactor: 1 }]);
    const [one, two] = await scheduled(1_000, 2_000);
    stage.clock.advance(2_000);
    await stage.repository.promoteDue();
    expect(await backlog()).toEqual([one, held.job.jobId, two]);
    expect(await stage.eventTypes(held.job.jobId)).toEqual(['enqueued', 'claimed', 'started', 'retry_scheduled', 'ready']);
  });

  it('respects priority: a position decides between equals only', async () => {
    const [low] = await stage.enqueue(queue, { priority: -1 });
    const ids = await stage.enqueue(queue, { runAt: stage.now + 1_000_000 }, { runAt: stage.now + 1_000_000, priority: 5 });
    stage.clock.advance(1_000);
    await stage.repository.promoteDue();
    expect(idsOf(await stage.claim(queue, { maxJobs: 5 }))).toEqual([ids[1], ids[0], low]);
  });

  it('with nothing due says so, and wakes nobody', async () => {
    expect(await stage.repository.promoteDue()).toMatchObject({ count: 0, more: false, readyQueues: [] });
  });

  it('moves 500 at a time, in order, and tells that there is more', async () => {
    const ids = await scheduled(...Array.from({ length: 1_100 }, (_, index) => 1_000 + index));
    stage.clock.advance(2_099);
    const rounds = [];
    for (let more = true; more;) {
      const round = await stage.repository.promoteDue();
      rounds.push(round.count);
      more = round.more;
    }
    expect(rounds).toEqual([500, 500, 100]);
    expect(await backlog()).toEqual(ids);
  });

  it('by several replicas at once promotes each job once', async () => {
    const ids = await scheduled(...Array.from({ length: 1_000 }, () => 1_000));
    stage.clock.advance(1_000);
    const replicas = [stage.repository, await stage.another(), await stage.another()];
    const counts = await Promise.all(
      replicas.map(async (replica) => {
        let promoted = 0;
        for (let round = await replica.promoteDue(); round.count > 0; round = await replica.promoteDue()) promoted += round.count;
        return promoted;
      }),
    );
    await stage.repository.promoteDue();
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1_000);
    expect(new Set<JobId>(await backlog())).toEqual(new Set(ids));
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('leaves what a stranger has locked for the next round', async () => {
    const [held, free] = await scheduled(1_000, 2_000);
    stage.clock.advance(2_000);
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.deferred where job = ${held ?? ''} for update`);
    expect(await stage.repository.promoteDue()).toMatchObject({ count: 1 });
    expect(await backlog()).toEqual([free]);
    await stranger.rollback();
    expect(await stage.repository.promoteDue()).toMatchObject({ count: 1 });
  });
});
