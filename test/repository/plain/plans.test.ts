/** How the lesser statements of the hot path are planned, on tables of any size. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { Database } from '../../../src/repository/database.ts';
import { enqueueHanded } from '../../../src/repository/jobs/enqueue-handed.ts';
import { enqueuePlain } from '../../../src/repository/jobs/enqueue-plain.ts';
import { KnownRecords } from '../../../src/repository/known-records.ts';
import { ackPlain } from '../../../src/repository/workers/ack-plain.ts';
import { claimPlain } from '../../../src/repository/workers/claim-plain.ts';
import { slot, Stage, tokenOf } from '../../engine/stage.ts';
import { type Explained, explaining } from '../../support/explain.ts';
import { ackOf } from './route.ts';

const FEW = 1_000;
const MANY = 100_000;
const JOBS = 10;

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  queue = await stage.queue();
});
afterAll(() => stage.close());

/** Ten jobs that are given as they are enqueued, and the life of ten others, of half of which the record is not known to who acks. */
async function life(): Promise<ReadonlyMap<string, Explained>> {
  const { run, plans, close } = await explaining(stage.database.url);
  const items = Array.from({ length: JOBS }, () => stage.item(queue));
  const now = stage.clock.now().toISOString();
  const records = new KnownRecords();
  const free = await stage.queue();
  const wanted = Array.from({ length: JOBS }, () => stage.item(free));
  const handed = await enqueueHanded({ run, now, records }, wanted, { slots: [slot({ maxJobs: JOBS })], channel: 'pull' });
  expect(handed?.given.jobs.flat()).toHaveLength(JOBS);
  expect(await enqueuePlain(run, now, items)).toHaveLength(JOBS);
  const slotOf = Array.from({ length: JOBS }, () => 1);
  const given = await claimPlain(run, now, { queue, slots: [slot({ maxJobs: JOBS })], slotOf, channel: 'pull', records });
  const claimed = given?.jobs.flat() ?? [];
  expect(claimed).toHaveLength(JOBS);
  claimed.slice(JOBS / 2).forEach((one) => records.forget(tokenOf(one)));
  const sent = claimed
    .map((one, position) => ({ position, item: ackOf(one) }))
    .toSorted((a, b) => (a.item.token.jobId < b.item.token.jobId ? -1 : 1));
  expect(await ackPlain(run, now, sent, records)).toHaveProperty('size', JOBS);
  await close();
  return plans;
}

function expectIndexed(plans: ReadonlyMap<string, Explained>): void {
  expect([...plans.keys()]).toEqual(['enqueue-handed', 'enqueue-plain', 'claim-plain', 'ack-plain']);
  for (const [name, { scanned }] of plans) expect(scanned, `${name} scans whole tables`).toEqual([]);
}

/** So many jobs that wait in the queue, and as many that others hold. */
async function fill(count: number): Promise<void> {
  for (let left = count; left > 0; left -= FEW) await stage.enqueue(queue, ...Array.from({ length: FEW }, () => ({})));
  await stage.sql`
    insert into stint.lease (shard, job, token, namespace, worker, until, duration_ms, grace_ms, queue_id, rank, ord, claimed_at,
        claimed_seq, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, gen_random_uuid(), gen_random_uuid(), 'default', 'other', now() + interval '1 day', 30000, 5000, ${queue.id}, 0, -g, now(),
           2, 1, 1, 1, 2, 0, 600, false
      from generate_series(1, ${count}::int) g`;
}

describe('a life by the lesser statements', () => {
  let few: ReadonlyMap<string, Explained>;

  it('reads no table from end to end, when tables are empty and freshly vacuumed', async () => {
    await life();
    await stage.sql.unsafe('truncate stint.ready, stint.lease');
    await stage.sql.unsafe('vacuum analyze');
    expectIndexed(await life());
  });

  it('reads no table from end to end, with few rows', async () => {
    await fill(FEW);
    few = await life();
    expectIndexed(few);
  });

  it(`reads no more with ${MANY} jobs than with ${FEW}`, { timeout: 120_000 }, async () => {
    await fill(MANY);
    await stage.sql.unsafe('vacuum analyze');
    const many = await life();
    expectIndexed(many);
    for (const [name, { buffers, heaviest }] of many) {
      const before = few.get(name)?.buffers ?? 0;
      // One more level in each index it descends is the price of a hundred times the rows.
      expect(buffers, `${name}: ${before} buffers with few rows, ${buffers} with many: ${heaviest.join('; ')}`).toBeLessThanOrEqual(
        before * 2 + 100,
      );
    }
  });

  it(
    'that was planned before there were gates looks up one of them for each lease, however many came since',
    { timeout: 60_000 },
    async () => {
      const own = await Stage.open();
      const database = new Database({ url: own.database.url, connections: 1, applicationName: 'plain', settings: 'hot' });
      onTestFinished(async () => {
        await database.close();
        await own.close();
      });
      const there = await own.queue();
      const ackOne = async () => {
        const item = ackOf(await own.held(there));
        expect(await ackPlain(database.run, own.clock.now().toISOString(), [{ position: 0, item }], new KnownRecords())).toHaveProperty(
          'size',
          1,
        );
      };
      const gatesRead = async () => {
        const [row] = await own.sql<{ looks: number; read: number }[]>`
        select sum(idx_scan)::int as looks, sum(idx_tup_read)::int as read from pg_stat_user_indexes where relname = 'gate'`;
        return row ?? expect.unreachable();
      };
      await ackOne();
      await gatesOf(own, 20_000);
      const before = await gatesRead();
      await ackOne();
      // What a session has read is told a while after it.
      await vi.waitFor(async () => expect((await gatesRead()).looks).toBeGreaterThan(before.looks), { timeout: 20_000 });
      expect((await gatesRead()).read - before.read).toBeLessThan(1_000);
    },
  );
});

async function gatesOf({ sql }: Stage, count: number): Promise<void> {
  await sql`
    insert into stint.gate (shard, queue_id, scheduled, ready, leased, running, retry_wait, suspended, permits, filled_at, claims, counted_at)
    select 0, 1000000 + g, 0, 0, 0, 0, 0, 0, 0, now(), 0, now() from generate_series(1, ${count}::int) g`;
}
