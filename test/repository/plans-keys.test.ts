/** What the slots of a key cost where very many of its jobs wait. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unblockKeys } from '../../src/repository/upkeep/unblock.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { slot, Stage, tokenOf } from '../engine/stage.ts';
import { type Explained, explaining } from '../support/explain.ts';

const MANY = 100_000;
/** Three statements that look up one key, its queue and the first of its jobs, and move one. */
const FEW_BUFFERS = 500;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

describe(`a key with ${MANY} BLOCKED jobs`, () => {
  it('lets the next one in by the first rows of indexes', { timeout: 120_000 }, async () => {
    const queue = await stage.queue();
    await stage.enqueue(queue, { concurrencyKey: 'k' }, { concurrencyKey: 'k' });
    await stage.sql`
      insert into stint.parked (shard, job, kind, queue_id, rank, ord, attempt, fence, life, seq, releases, size, checkpointed, lock_key, holds)
      select 0, gen_random_uuid(), 3, ${queue.id}, 0, 1000000 + n, 0, 0, 1, 1, 0, 100, false, 'k', false from generate_series(1, ${MANY}::int) n`;
    await stage.sql.unsafe('vacuum analyze stint.parked');
    await stage.sql`delete from stint.ready where queue_id = ${queue.id}`;
    await stage.sql`update stint.slot set held = 0, ready = 0, wake_at = now() - interval '1 hour' where queue_id = ${queue.id}`;
    const { run, plans, close } = await explaining(stage.database.url);
    const transaction = <Out>(work: (within: typeof run) => Promise<Out>) => work(run);
    const keys = [{ namespace: queue.namespace, queue: queue.name, concurrencyKey: 'k' }];
    expect(await unblockKeys({ transaction }, stage.clock.now().toISOString(), keys)).toMatchObject({ count: 1 });
    await close();
    for (const [name, { buffers }] of plans) expect(buffers, name).toBeLessThanOrEqual(FEW_BUFFERS);
  });

  it('changes neither the plan nor the buffers of a claim and an ack beside it', { timeout: 120_000 }, async () => {
    const [alone, beside] = [await looksOf(0), await looksOf(MANY)];
    for (const [name, { buffers, scanned }] of Object.entries(beside)) {
      expect(scanned, name).toEqual([]);
      // Two databases differ by some pages that new rows come to.
      expect(Math.abs(buffers - (alone[name]?.buffers ?? Number.NaN)), name).toBeLessThanOrEqual(50);
    }
  });
});

/** What a claim and an ack touch in a queue of its own, beside so many BLOCKED jobs of a key. */
async function looksOf(blocked: number): Promise<Record<string, Explained>> {
  const own = await Stage.open();
  try {
    const queue = await own.queue();
    await own.enqueue(queue, { concurrencyKey: 'k' }, ...Array.from({ length: 20 }, () => ({})));
    await own.sql`
      insert into stint.parked (shard, job, kind, queue_id, rank, ord, attempt, fence, life, seq, releases, size, checkpointed, lock_key, holds)
      select 0, gen_random_uuid(), 3, ${queue.id}, 0, 1000000 + n, 0, 0, 1, 1, 0, 100, false, 'k', false from generate_series(1, ${blocked}::int) n`;
    await own.sql.unsafe('vacuum analyze');
    const { run, plans, close } = await explaining(own.database.url);
    const now = own.clock.now().toISOString();
    const { jobs } = await claim(run, now, [queue], [slot({ maxJobs: 10 })]);
    const held = jobs.flat();
    expect(held).toHaveLength(10);
    await ackMany(run, now, [{ token: tokenOf(held[0] ?? expect.unreachable()), result: new Uint8Array(), contentType: '' }]);
    await close();
    const told = (name: string) => plans.get(name) ?? expect.unreachable();
    return { claim: told('claim'), ack: told('ack') };
  } finally {
    await own.close();
  }
}
