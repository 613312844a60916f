/** What a bound on each worker makes a claim read where very many jobs are ready. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { claim } from '../../../src/repository/workers/claim.ts';
import { slot, Stage } from '../../engine/stage.ts';
import { put } from '../../support/bounds.ts';
import { explaining } from '../../support/explain.ts';

const MANY = 100_000;
/** A few gates, the first rows of a backlog, and what comes of ten jobs. */
const FEW_BUFFERS = 700;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

it.each([1, 2])(
  `looks by the first rows of %i queues whether there is something for a worker beside ${MANY} ready jobs`,
  async (queues) => {
    const full = await stage.queue();
    const empty = await stage.queue({ namespace: full.namespace, name: 'empty' });
    for (const queue of [full, empty]) await put(stage.repository, queue, { maxInFlightPerWorker: 20 });
    await stage.enqueue(full, ...Array.from({ length: 10 }, () => ({ priority: 1 })));
    await stage.sql`
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, ${full.id}, 0, n, gen_random_uuid(), 0, 0, 1, 1, 0, 600, false from generate_series(1, ${MANY}::int) n`;
    await stage.sql.unsafe('vacuum analyze');
    const { run, plans, close } = await explaining(stage.database.url);
    const { jobs } = await claim(run, stage.clock.now().toISOString(), [full, empty].slice(0, queues), [
      slot({ workerId: 'a', maxJobs: 10 }),
    ]);
    await close();
    expect(jobs.flat()).toHaveLength(10);
    expect(plans.size).toBe(1);
    for (const { buffers, heaviest } of plans.values()) expect(buffers, heaviest.join('; ')).toBeLessThanOrEqual(FEW_BUFFERS);
  },
);
