/** What fairness costs: nothing without keys, and with them no more than looks into indexes, whatever the backlog. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JobIdMint } from '../../../src/engine/jobs/mint-job-id.ts';
import { contentDigest } from '../../../src/engine/jobs/content-digest.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { enqueueMany } from '../../../src/repository/jobs/enqueue-many.ts';
import { promoteDue } from '../../../src/repository/upkeep/promote-due.ts';
import { claim } from '../../../src/repository/workers/claim.ts';
import { jobSpec, slot, Stage } from '../../engine/stage.ts';
import { explaining, type Explained } from '../../support/explain.ts';

const BACKLOG = 200_000;
const KEYS = 20_000;

let stage: Stage;
let plain: Queue;
let fair: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  plain = await stage.queue();
  fair = await stage.queue();
}, 60_000);
afterAll(() => stage.close());

/** Ten jobs enqueued, and ten claimed: what each costs. */
async function costs(queue: Queue, fairnessKeys: readonly string[]) {
  const { run, plans, close } = await explaining(stage.database.url);
  const mint = new JobIdMint();
  const items = Array.from({ length: 10 }, (_, n) => {
    const spec = jobSpec({ queue: queue.name, fairnessKey: fairnessKeys[n % fairnessKeys.length] ?? '' });
    return { queue, spec, jobId: mint.mint(), digest: contentDigest(spec) };
  });
  await enqueueMany(run, null, items);
  await claim(run, null, [queue], [slot({ maxJobs: 10 })]);
  await promoteDue(run, null, 10);
  await close();
  return { enqueue: plans.get('enqueue') ?? expect.unreachable(), claim: plans.get('claim') ?? expect.unreachable(), plans };
}

function expectIndexed(plans: ReadonlyMap<string, Explained>): void {
  for (const [name, { scanned }] of plans) expect(scanned, `${name} scans whole tables`).toEqual([]);
}

async function fill(queue: Queue): Promise<void> {
  await stage.sql`
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, ${queue.id}, 0, nextval('stint.job_ord'), gen_random_uuid(), 0, 0, 1, 1, 0, 600, false from generate_series(1, ${BACKLOG}::int)`;
}

describe('a statement that draws positions', () => {
  it('reads no table from end to end, with keys or without, on empty tables and on large ones', { timeout: 120_000 }, async () => {
    for (const keys of [[''], ['a'], ['a', 'b', '']]) expectIndexed((await costs(fair, keys)).plans);
    const small = await costs(fair, ['a', 'b', '']);
    const smallPlain = await costs(plain, ['']);
    await fill(plain);
    await fill(fair);
    await stage.sql`
      insert into stint.fair (shard, queue_id, rank, key, last, span) select 0, ${fair.id}, 0, 'k' || g, 1, 1 from generate_series(1, ${KEYS}::int) g`;
    await stage.sql.unsafe('vacuum analyze');
    const large = await costs(fair, ['a', 'b', '']);
    expectIndexed(large.plans);
    const largePlain = await costs(plain, ['']);
    expectIndexed(largePlain.plans);
    for (const [few, many] of [
      [small, large],
      [smallPlain, largePlain],
    ] as const) {
      expect(many.enqueue.buffers).toBeLessThanOrEqual(few.enqueue.buffers * 2 + 60);
      expect(many.claim.buffers).toBeLessThanOrEqual(few.claim.buffers * 2 + 60);
    }
    console.log(
      small.enqueue,
      smallPlain.enqueue,
      large.enqueue,
      largePlain.enqueue,
      small.claim,
      smallPlain.claim,
      large.claim,
      largePlain.claim,
    );
  });
});
