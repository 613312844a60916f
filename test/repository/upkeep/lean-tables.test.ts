import type { ReservedSql } from 'postgres';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { Stage } from '../../engine/stage.ts';

/** More than makes a vacuum, and a floor, worth it. */
const MANY = 12_000;

const stages: Stage[] = [];
let stage: Stage;
let queue: Queue;
beforeEach(async () => {
  stage = await Stage.open();
  stages.push(stage);
  queue = await stage.queue();
  // Postgres' own vacuum would come before the service's.
  const partitions = await stage.sql<
    { name: string }[]
  >`select inhrelid::regclass::text as name from pg_inherits where inhparent = 'stint.job'::regclass`;
  for (const name of ['stint.ready', 'stint.lease', ...partitions.map((one) => one.name)])
    await stage.sql`alter table ${stage.sql(name)} set (autovacuum_enabled = off)`;
});
afterAll(() => Promise.all(stages.map((one) => one.close())));

/** So many jobs of the queue are claimed, for the most part by statements of somebody else. */
async function leaveDead(count: number): Promise<void> {
  const session = await stage.sql.reserve();
  await session`
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, out_of_order)
    select 0, ${queue.id}, 0, nextval('stint.job_ord'), gen_random_uuid(), 0, 0, 1, 1, 0, 600, false, false from generate_series(1, ${count}::int)`;
  await session`delete from stint.ready where queue_id = ${queue.id}`;
  await session`select pg_stat_force_next_flush()`;
  await session`select 1`;
  session.release();
}

/** A second of claims of this replica, as many as make a move of a floor worth it. */
async function claimMany(): Promise<void> {
  await stage.enqueue(queue, ...Array.from({ length: 1_000 }, () => ({})));
  expect(await stage.claim(queue, { maxJobs: 1_000 })).toHaveLength(1_000);
}

async function holdSnapshot(): Promise<{ readonly end: () => Promise<void> }> {
  const session: ReservedSql = await stage.sql.reserve();
  await session`begin isolation level repeatable read`;
  await session`select 1`;
  return {
    end: async () => {
      await session`rollback`;
      session.release();
    },
  };
}

const look = async () => {
  const [row] = await stage.sql<{ vacuums: number; dead: number; floors: number }[]>`
    select pg_stat_get_vacuum_count('stint.ready'::regclass)::int as vacuums, pg_stat_get_dead_tuples('stint.ready'::regclass)::int as dead,
        (select count(*)::int from stint.floor) as floors`;
  return row ?? expect.unreachable();
};

/** Rounds, each after some claims, until `isDone`. */
async function roundsUntil(isDone: (seen: Awaited<ReturnType<typeof look>>) => boolean): Promise<void> {
  while (!isDone(await look())) {
    await stage.held(queue);
    await stage.repository.keepLean();
  }
}

describe('the hot tables', () => {
  it('are vacuumed once enough lies dead in them, and nobody holds a snapshot', async () => {
    await leaveDead(MANY);
    await roundsUntil(({ vacuums, dead }) => vacuums > 0 && dead < 100);
  });

  it('are analyzed once they have outgrown what the planner knows of them, as are the partitions of the others', async () => {
    const known = async () => {
      const [row] = await stage.sql<{ ready: boolean; job: boolean }[]>`
        select (select relpages * 2 > pg_relation_size(oid) / 8192 from pg_class where oid = 'stint.ready'::regclass) as ready,
               (select bool_and(relpages * 2 + 64 > pg_relation_size(oid) / 8192) from pg_class where oid in (
                 select inhrelid from pg_inherits where inhparent = 'stint.job'::regclass)) as job`;
      return row ?? expect.unreachable();
    };
    await stage.sql.unsafe('vacuum analyze');
    for (let batch = 0; batch < 8; batch += 1) await stage.enqueue(queue, ...Array.from({ length: 1_000 }, () => ({})));
    expect(await known()).toEqual({ ready: false, job: false });
    do {
      await stage.held(queue);
      await stage.repository.keepLean();
    } while (!Object.values(await known()).every(Boolean));
  });

  it('are not vacuumed for a few dead rows', async () => {
    await leaveDead(2_000);
    for (let round = 0; round < 3; round += 1) {
      await stage.held(queue);
      await stage.repository.keepLean();
    }
    expect(await look()).toMatchObject({ vacuums: 0, floors: 0 });
  });

  it('are read around by floors while a snapshot is held, and vacuumed once it has ended; then the floors go', async () => {
    const holder = await holdSnapshot();
    await stage.held(queue);
    await stage.repository.keepLean();
    await leaveDead(MANY);
    await claimMany();
    const floor = async () => {
      const [row] = await stage.sql<{ ord: string }[]>`select ord from stint.floor where queue_id = ${queue.id}`;
      return row === undefined ? null : BigInt(row.ord);
    };
    // A floor moves once all transactions of the server that were open at its mark have ended, those of other databases too.
    for (let ord = await floor(); ord === null || ord <= BigInt(MANY); ord = await floor()) await stage.repository.keepLean();
    expect((await look()).vacuums).toBe(0);
    await holder.end();
    await roundsUntil(({ vacuums, floors }) => vacuums > 0 && floors === 0);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('need no look by a replica that claims nothing', async () => {
    await stage.repository.keepLean();
    await leaveDead(MANY);
    for (let round = 0; round < 10; round += 1) await stage.repository.keepLean();
    expect((await look()).vacuums).toBe(0);
  });
});
