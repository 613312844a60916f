import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { Database } from '../../../src/repository/database.ts';
import { type Backlog, dropFloors, moveFloors } from '../../../src/repository/upkeep/move-floors.ts';
import { claim } from '../../../src/repository/workers/claim.ts';
import { idsOf, slot, Stage, tokenOf } from '../../engine/stage.ts';
import { explaining } from '../../support/explain.ts';
import { enter } from '../../support/sql-door.ts';

const DEAD = 100_000;

let stage: Stage;
let queue: Queue;
let database: Database;
beforeAll(async () => {
  stage = await Stage.open();
  database = new Database({ url: stage.database.url, connections: 1, applicationName: 'floors', settings: 'plain' });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(async () => {
  await database.close();
  await stage.close();
});

const backlogOf = (rank: number, { id }: Pick<Queue, 'id'> = queue): Backlog => ({ queueId: id, rank: BigInt(rank) });

/** Marks, and moves once every transaction of before the mark has ended, also those of other databases. */
async function raise(...backlogs: readonly Backlog[]): Promise<void> {
  await moveFloors(database, backlogs);
  for (let moved = 0; moved < backlogs.length;) moved = (await moveFloors(database, backlogs)).length;
}

async function floors(): Promise<readonly { rank: string; ord: string }[]> {
  return await stage.sql<{ rank: string; ord: string }[]>`select rank, ord from stint.floor where queue_id = ${queue.id} order by rank`;
}

const nextPosition = async () => {
  const [row] = await stage.sql<{ next: string }[]>`select (last_value + 1)::text as next from stint.job_ord`;
  return row?.next;
};

/** Every job of the queue is claimed, so that nothing holds a floor back. */
async function claimAll() {
  return await stage.claim(queue, { maxJobs: 100 });
}

const claimIds = async (maxJobs = 100) => idsOf(await stage.claim(queue, { maxJobs }));

describe('a floor', () => {
  it('moves up behind what was claimed, and stops at the first job that waits', async () => {
    await stage.enqueue(queue, {}, {}, {});
    await stage.claim(queue, { maxJobs: 2 });
    await raise(backlogOf(0));
    const [waiting] = await stage.sql<{ ord: string }[]>`select ord from stint.ready where queue_id = ${queue.id}`;
    expect(await floors()).toEqual([{ rank: '0', ord: waiting?.ord }]);
    await claimAll();
    const next = await nextPosition();
    await raise(backlogOf(0));
    expect(await floors()).toEqual([{ rank: '0', ord: next }]);
  });

  it('does not hide a job that is released below it: it is the next one that is claimed', async () => {
    const [first] = await stage.enqueue(queue, {}, {});
    const [held] = await claimAll();
    if (held === undefined) throw new Error('nothing was claimed');
    await stage.enqueue(queue, {}, {});
    await raise(backlogOf(0));
    await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    expect(await claimIds(1)).toEqual([first]);
    expect(await claimIds()).toHaveLength(2);
  });

  it('gives several that were released below it in their order, before what lies above', async () => {
    const before = await stage.enqueue(queue, {}, {}, {}, {});
    const held = await claimAll();
    await raise(backlogOf(0));
    const after = await stage.enqueue(queue, {}, {});
    await stage.repository.releaseMany([3, 1].flatMap((n) => held.slice(n, n + 1)).map((one) => ({ token: tokenOf(one), delayMs: 0 })));
    expect(await claimIds(3)).toEqual([before[1], before[3], after[0]]);
    expect(await claimIds()).toEqual([after[1]]);
  });

  it('does not hide a job that takes another priority with its old position', async () => {
    const [low] = await stage.enqueue(queue, { priority: -1 });
    await stage.enqueue(queue, {}, {});
    await claimIds(2);
    await raise(backlogOf(0));
    if (low === undefined) throw new Error('nothing was enqueued');
    await stage.repository.updateMany([{ namespace: queue.namespace, jobId: low, request: null, change: { priority: 0 } }]);
    expect(await claimIds()).toEqual([low]);
  });

  it('is not passed by the position of a transaction that is open, and gives its job once that has committed', async () => {
    let late = '';
    const stranger = await stage.stranger(async (sql) => {
      late = (await enter(sql, { namespace: queue.namespace, queue: queue.name, payload: '\\x00' })).job_id;
    });
    await stage.enqueue(queue, {}, {});
    await claimAll();
    for (let round = 0; round < 5; round += 1) expect(await moveFloors(database, [backlogOf(0)])).toEqual([]);
    const [floor] = await floors();
    await stranger.commit();
    const [row] = await stage.sql<{ ord: string }[]>`select ord from stint.ready where job = ${late}`;
    expect(BigInt(floor?.ord ?? '')).toBeLessThanOrEqual(BigInt(row?.ord ?? ''));
    expect(await claimIds()).toEqual([late]);
  });

  it('of a mark that was taken before a transaction drew its position is not passed by it either', async () => {
    await stage.enqueue(queue, {});
    await claimAll();
    await moveFloors(database, [backlogOf(0)]);
    const stranger = await stage.stranger((sql) => enter(sql, { namespace: queue.namespace, queue: queue.name, payload: '\\x00' }));
    const others = await stage.enqueue(queue, {}, {});
    await claimAll();
    for (let moved: readonly Backlog[] = []; moved.length === 0;) moved = await moveFloors(database, [backlogOf(0)]);
    expect(await moveFloors(database, [backlogOf(0)])).toEqual([]);
    await stranger.commit();
    expect(others).toHaveLength(2);
    expect(await claimIds()).toHaveLength(1);
  });

  it('of each rank is its own: what is urgent comes first, and nothing of another rank is skipped', async () => {
    const [five, zero] = await stage.enqueue(queue, { priority: 5 }, { priority: 0 }, { priority: -7 });
    expect(await claimIds(2)).toEqual([five, zero]);
    await raise(backlogOf(-5), backlogOf(0));
    const more = await stage.enqueue(queue, { priority: 0 }, { priority: 5 }, { priority: 9 }, { priority: -7 }, { priority: 3 });
    const waiting = (await stage.repository.peekQueue(queue, 100)).map(({ jobId }) => jobId);
    expect(waiting.slice(0, 4)).toEqual([more[2], more[1], more[4], more[0]]);
    expect(await claimIds(4)).toEqual(waiting.slice(0, 4));
    expect(await claimIds()).toEqual(waiting.slice(4));
  });

  it('counts for every replica', async () => {
    const other = await stage.another();
    const [first] = await stage.enqueue(queue, {}, {});
    const [held] = await claimAll();
    await raise(backlogOf(0));
    const [next] = await stage.enqueue(queue, {});
    if (held === undefined) throw new Error('nothing was claimed');
    await other.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    const { jobs } = await other.claim([queue], [slot({ maxJobs: 5 })]);
    expect(jobs.map(idsOf)).toEqual([[first, next]]);
  });

  it('lets claims of several queues give each what it has', async () => {
    const other = await stage.queue({ namespace: queue.namespace, name: 'other' });
    await stage.enqueue(queue, {}, {});
    const held = await claimAll();
    await raise(backlogOf(0), backlogOf(0, other));
    await stage.repository.releaseMany(held.slice(1).map((one) => ({ token: tokenOf(one), delayMs: 0 })));
    const [theirs] = await stage.enqueue(other, {});
    expect(idsOf(await stage.claim([queue, other], { maxJobs: 10 }))).toEqual([held[1]?.job.jobId, theirs]);
  });

  it('gives what lies behind it where all that was counted is in other hands', async () => {
    await stage.enqueue(queue, {}, {});
    const held = await claimAll();
    await raise(backlogOf(0));
    await stage.repository.releaseMany(held.map((one) => ({ token: tokenOf(one), delayMs: 0 })));
    const [free] = await stage.enqueue(queue, {});
    const ids = idsOf(held);
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.ready where job = any(${ids}) for update`);
    expect(await claimIds(1)).toEqual([free]);
    await stranger.rollback();
    expect(await claimIds()).toEqual(ids);
  });

  it('there are at most 64 of a queue', async () => {
    const ranks = Array.from({ length: 70 }, (_, rank) => backlogOf(rank));
    for (const rank of ranks) await moveFloors(database, [rank]);
    expect(await floors()).toHaveLength(64);
  });

  it('is gone when floors are dropped, and nothing with it', async () => {
    await stage.enqueue(queue, {}, {});
    const held = await claimAll();
    await raise(backlogOf(0));
    await stage.repository.releaseMany(held.map((one) => ({ token: tokenOf(one), delayMs: 0 })));
    await dropFloors(database);
    expect(await floors()).toEqual([]);
    expect(await claimIds()).toEqual(idsOf(held));
  });
});

describe(`beside ${DEAD} dead entries that a held snapshot keeps`, () => {
  /** Buffers that a claim of ten jobs touches. */
  async function buffersOfClaim(): Promise<number> {
    await stage.enqueue(queue, ...Array.from({ length: 10 }, () => ({})));
    const { run, plans, close } = await explaining(stage.database.url);
    const { jobs } = await claim(run, null, [queue], [slot({ maxJobs: 10 })]);
    await close();
    expect(jobs[0]).toHaveLength(10);
    expect(plans.get('claim')?.scanned).toEqual([]);
    return plans.get('claim')?.buffers ?? Number.NaN;
  }

  it('a claim reads as much as without them, once the floor has moved', { timeout: 60_000 }, async () => {
    const without = await buffersOfClaim();
    const held = await stage.sql.reserve();
    await held`begin isolation level repeatable read`;
    await held`select 1`;
    await stage.sql`
      insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, out_of_order)
      select 0, ${queue.id}, 0, nextval('stint.job_ord'), gen_random_uuid(), 0, 0, 1, 1, 0, 600, false, false from generate_series(1, ${DEAD}::int)`;
    await stage.sql`delete from stint.ready where queue_id = ${queue.id}`;
    const edge = await buffersOfClaim();
    await raise(backlogOf(0));
    const above = await buffersOfClaim();
    await held`rollback`;
    held.release();
    expect(edge).toBeGreaterThan(without * 10);
    expect(above).toBeLessThanOrEqual(without * 2 + 100);
  });
});
