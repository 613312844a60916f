/** What a look for jobs to prune costs beside very many that are kept. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explaining } from '../../support/explain.ts';
import { createDatabase, type TestDatabase } from '../../support/database.ts';
import type { Database } from '../../../src/repository/database.ts';
import { openEpoch } from '../../../src/repository/epoch.ts';
import { createQueues } from '../../../src/repository/queues/resolve-queues.ts';
import { ensurePartitions } from '../../../src/repository/upkeep/ensure-partitions.ts';
import { pruneExpired } from '../../../src/repository/upkeep/prune.ts';

const FEW = 1_000;
const MANY = 200_000;
const OLD = 100;

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

/** Jobs that ended so long ago, in one queue, with what each leaves. Their ids are of today. */
async function fill(queueId: number, count: number, ago: string): Promise<void> {
  await database.sql`
    with j as (
      insert into stint.job (shard, id, namespace, queue_id, type, rank, ord, created_at, digest, content_type, headers, labels, payload)
      select 0, stint.mint_job_id(now()), 'default', ${queueId}, '', 0, nextval('stint.job_ord'), now(), '', '', '{}', '{}', ''
        from generate_series(1, ${count}::int) returning id),
    a as (
      insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, worker, claimed_seq, claimed_at, ended_seq, ended_at, ended_type, dead_lettered)
      select 0, id, 1, 1, false, 1, gen_random_uuid(), 'w', 2, now(), 4, now(), 11, false from j)
    insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at)
    select 0, id, 1, 4, 11, 1, 1, now() - ${ago}::interval from j`;
}

/** A round, with the plans of its statements. */
async function round() {
  const { run, plans, close } = await explaining(database.url);
  const pool: Pick<Database, 'run' | 'transaction'> = { run, transaction: (work) => work(run) };
  const { count } = await pruneExpired({ upkeep: pool, slow: pool }, null, 500);
  await close();
  return { count, plans };
}

describe('a round of pruning', () => {
  it(`reads no more beside ${MANY} jobs that are kept than beside ${FEW}, and no table from end to end`, { timeout: 240_000 }, async () => {
    const { run, close } = await explaining(database.url);
    await ensurePartitions(run, null);
    await openEpoch(run);
    const [queue] = await createQueues(run, [{ namespace: 'default', name: 'q' }]);
    await close();
    const { id } = queue ?? expect.unreachable();
    await fill(id, FEW, '1 day');
    await fill(id, OLD, '8 days');
    const few = await round();
    expect(few.count).toBe(OLD);
    const fewIdle = await round();
    await fill(id, MANY, '1 day');
    await database.sql.unsafe('vacuum analyze');
    await fill(id, OLD, '7 days 1 minute');
    const many = await round();
    expect(many.count).toBe(OLD);
    const manyIdle = await round();
    expect(manyIdle.count).toBe(0);
    expect([...many.plans.keys()]).toEqual(expect.arrayContaining(['find-ended', 'lock-ended-records', 'remove-ended']));
    for (const [before, after] of [
      [few, many],
      [fewIdle, manyIdle],
    ] as const) {
      for (const [name, { buffers, scanned }] of after.plans) {
        expect(
          scanned.filter((table) => table !== 'queue'),
          `${name} scans whole tables`,
        ).toEqual([]);
        expect(buffers, `${name}: ${buffers} buffers`).toBeLessThanOrEqual((before.plans.get(name)?.buffers ?? 0) * 2 + 100);
      }
    }
  });
});
