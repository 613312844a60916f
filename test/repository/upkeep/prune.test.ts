/** What leaves when its time is over, and what stays. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Failure, JobId, JobSpec } from '../../../src/domain/job.ts';
import { DEFAULT_SETTINGS, type Queue } from '../../../src/domain/queue.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import { Database, type Run } from '../../../src/repository/database.ts';
import { pruneExpired } from '../../../src/repository/upkeep/prune.ts';
import { idsOf, Stage, tokenOf } from '../../engine/stage.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const TABLES = ['job', 'attempt', 'terminal', 'job_event', 'custom_event', 'checkpoint', 'dead_letter', 'idem'];

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
  await retain(queue, MINUTE_MS);
});
afterAll(() => stage.close());

const FAILURE: Failure = { code: 'poison', message: '', details: new Uint8Array(), kind: 'TERMINAL' };

async function retain({ namespace, name }: Queue, retentionMs: number): Promise<void> {
  const change = () => ({ settings: { ...DEFAULT_SETTINGS, retentionMs } });
  await stage.repository.putQueue({ namespace, name, change, actor: 'test', request: null });
}

/** A job of the queue that has succeeded just now. */
async function succeeded(told: Partial<JobSpec> = {}, of = queue): Promise<JobId> {
  const held = await stage.held(of, { job: told });
  await stage.repository.ackMany([{ token: tokenOf(held), result: Buffer.from('r'), contentType: '' }]);
  return held.job.jobId;
}

/** One that failed, with all that a job can have: a checkpoint, an event, a dead letter, a key. */
async function failed(told: Partial<JobSpec> = {}): Promise<JobId> {
  const first = await stage.held(queue, { job: told });
  await stage.repository.suspendMany([{ token: tokenOf(first), checkpoint: Buffer.from('half'), reason: '' }]);
  const item = { namespace: queue.namespace, jobId: first.job.jobId, request: null, reason: '' };
  await stage.repository.resumeMany([item]);
  const [held] = await stage.claim(queue);
  await stage.repository.failMany([
    { token: tokenOf(held ?? expect.unreachable()), failure: FAILURE, retryAfterMs: null, jitterFactor: 1 },
  ]);
  return first.job.jobId;
}

/** Rows of a job, by table. */
async function rowsOf(jobId: JobId): Promise<Readonly<Record<string, number>>> {
  const counts = await Promise.all(
    TABLES.map(async (table): Promise<[string, number]> => {
      const column = table === 'job' ? 'id' : 'job';
      const [row] = await stage.sql.unsafe<{ count: number }[]>(`select count(*)::int from stint.${table} where ${column} = $1`, [jobId]);
      return [table, row?.count ?? 0];
    }),
  );
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** Rounds until nothing more is to do: how many jobs they removed. */
async function pruned(): Promise<number> {
  let removed = 0;
  for (let more = true; more;) {
    const round = await stage.repository.pruneExpired();
    removed += round.count;
    ({ more } = round);
  }
  return removed;
}

const key = (name: string, told: Partial<NonNullable<JobSpec['idempotency']>> = {}): JobSpec['idempotency'] => ({
  key: name,
  scope: 'RETAINED',
  ttlMs: null,
  ...told,
});

describe('retention', () => {
  it('keeps a job until its instant, and then takes all that is of it', async () => {
    const jobId = await failed({ idempotency: key('k') });
    const before = await rowsOf(jobId);
    expect(before).toEqual({ job: 1, attempt: 2, terminal: 1, job_event: 1, checkpoint: 1, dead_letter: 1, idem: 1 });
    stage.clock.advance(MINUTE_MS - 1);
    expect(await pruned()).toBe(0);
    expect(await rowsOf(jobId)).toEqual(before);
    stage.clock.advance(1);
    expect(await pruned()).toBe(1);
    expect(await rowsOf(jobId)).toEqual({});
    expect(await stage.repository.getJobs([jobId])).toEqual([null]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is each queue its own, and leaves what is not over', async () => {
    const longer = await stage.queue({ namespace: queue.namespace, name: 'longer' });
    const kept = await succeeded({}, longer);
    const gone = await succeeded();
    const held = await stage.held(queue);
    const [ready] = await stage.enqueue(queue, {});
    stage.clock.advance(DAY_MS);
    expect(await pruned()).toBe(1);
    expect(await stage.repository.getJobs([gone])).toEqual([null]);
    for (const jobId of [kept, held.job.jobId, ready ?? expect.unreachable()]) expect(await stage.job(jobId)).toMatchObject({ jobId });
    stage.clock.advance(6 * DAY_MS);
    await stage.repository.ensurePartitions();
    expect(await pruned()).toBe(1);
    expect(await stage.repository.getJobs([kept])).toEqual([null]);
  });

  it('counts from the end of the last life', async () => {
    const jobId = await failed();
    stage.clock.advance(MINUTE_MS / 2);
    await stage.repository.retryMany([{ namespace: queue.namespace, jobId, request: null, reason: '' }]);
    stage.clock.advance(HOUR_MS);
    expect(await pruned()).toBe(0);
    const [held] = await stage.claim(queue);
    await stage.repository.ackMany([{ token: tokenOf(held ?? expect.unreachable()), result: Buffer.alloc(0), contentType: '' }]);
    stage.clock.advance(MINUTE_MS - 1);
    expect(await pruned()).toBe(0);
    expect(await rowsOf(jobId)).toMatchObject({ terminal: 2, attempt: 3, dead_letter: 1 });
    stage.clock.advance(1);
    expect(await pruned()).toBe(1);
    expect(await rowsOf(jobId)).toEqual({});
  });

  it('takes many that ended at one instant, also beside as many of another retention', async () => {
    const longer = await stage.queue({ namespace: queue.namespace, name: 'longer' });
    await retain(longer, HOUR_MS);
    for (const of of [queue, longer, queue, longer]) {
      await stage.enqueue(of, ...Array.from({ length: 400 }, () => ({})));
      const held = await stage.claim(of, { maxJobs: 400 });
      await stage.repository.ackMany(held.map((one) => ({ token: tokenOf(one), result: Buffer.alloc(0), contentType: '' })));
      expect(idsOf(held)).toHaveLength(400);
    }
    stage.clock.advance(MINUTE_MS);
    expect(await pruned()).toBe(800);
    stage.clock.advance(HOUR_MS);
    expect(await pruned()).toBe(800);
  });

  it.each([
    { from: HOUR_MS, to: MINUTE_MS },
    { from: MINUTE_MS, to: HOUR_MS },
  ])('that is changed from $from ms to $to ms goes for what is there', async ({ from, to }) => {
    const other = await stage.queue();
    await retain(other, to);
    await retain(queue, from);
    const jobId = await succeeded();
    stage.clock.advance(Math.min(from, to) - 1);
    // The walk of the other queue has passed it by.
    stage.clock.advance(from > to ? 2 * MINUTE_MS : 0);
    await pruned();
    expect(await stage.job(jobId)).toMatchObject({ state: 'SUCCEEDED' });
    await retain(queue, to);
    stage.clock.advance(2);
    expect(await pruned()).toBe(from > to ? 1 : 0);
    stage.clock.advance(HOUR_MS);
    await pruned();
    expect(await stage.repository.getJobs([jobId])).toEqual([null]);
  });
});

it('a batch that takes too long is done in smaller ones, and a job alone with more time', async () => {
  const ids = await stage.enqueue(queue, ...Array.from({ length: 60 }, () => ({})));
  await stage.repository.cancelMany(ids.map((jobId) => ({ namespace: queue.namespace, jobId, reason: '', request: null })));
  stage.clock.advance(MINUTE_MS);
  const database = new Database({ url: stage.database.url, connections: 1, applicationName: 'test', settings: 'plain' });
  const sizes: [string, number][] = [];
  const pool = (name: string): Pick<Database, 'run' | 'transaction'> => ({
    run: database.run,
    transaction: (work) =>
      database.transaction((run) => {
        const limited: Run = async (statement, values) => {
          const rows = await run(statement, values);
          // The walks of other retentions find nothing.
          if (statement.name !== 'find-ended' || rows.length === 0) return rows;
          sizes.push([name, rows.length]);
          if (name === 'upkeep') throw new StoreError('unavailable', 'too slow');
          return rows;
        };
        return work(limited);
      }),
  });
  const pools = { upkeep: pool('upkeep'), slow: pool('slow') };
  const round = await pruneExpired(pools, stage.clock.now().toISOString(), 500);
  await database.close();
  expect(sizes).toEqual([...[60, 50, 5].map((size) => ['upkeep', size]), ['slow', 1]]);
  expect(round).toMatchObject({ count: 1, more: true });
  expect(await pruned()).toBe(59);
});

describe('an idempotency key', () => {
  const again = async (name: string, told: Partial<JobSpec> = {}) =>
    (await stage.repository.enqueueMany([stage.item(queue, { idempotency: key(name), ...told })]))[0];

  it('without a ttl lives as long as its job', async () => {
    const jobId = await succeeded({ idempotency: key('k') });
    expect(await again('k')).toMatchObject({ kind: 'duplicate', job: { jobId } });
    stage.clock.advance(MINUTE_MS);
    await pruned();
    expect(await again('k')).toMatchObject({ kind: 'enqueued' });
  });

  it('with a longer ttl outlives it, and answers with the job as it was', async () => {
    const jobId = await succeeded({ idempotency: key('k', { ttlMs: HOUR_MS }), labels: { a: 'b' } });
    stage.clock.advance(MINUTE_MS);
    expect(await pruned()).toBe(1);
    expect(await rowsOf(jobId)).toEqual({ idem: 1 });
    expect(await stage.repository.getJobs([jobId])).toEqual([null]);
    expect(await again('k')).toMatchObject({
      kind: 'duplicate',
      sameContent: true,
      job: { jobId, state: 'SUCCEEDED', labels: { a: 'b' }, namespace: queue.namespace, queue: 'q', idempotencyKey: 'k' },
    });
    expect(await again('k', { payload: Buffer.from('other') })).toMatchObject({ kind: 'duplicate', sameContent: false });
    stage.clock.advance(HOUR_MS - MINUTE_MS - 1);
    await pruned();
    expect(await rowsOf(jobId)).toEqual({ idem: 1 });
    stage.clock.advance(1);
    expect(await again('k')).toMatchObject({ kind: 'enqueued' });
  });

  it('that outlived its job leaves at its end, though nobody asks for it', async () => {
    const jobId = await succeeded({ idempotency: key('k', { ttlMs: 2 * MINUTE_MS }) });
    stage.clock.advance(MINUTE_MS);
    await pruned();
    expect(await rowsOf(jobId)).toEqual({ idem: 1 });
    stage.clock.advance(MINUTE_MS);
    await pruned();
    expect(await rowsOf(jobId)).toEqual({});
  });

  it('that was held until the end of its job is not kept, whatever its ttl', async () => {
    const jobId = await succeeded({ idempotency: key('k', { scope: 'UNTIL_TERMINAL', ttlMs: HOUR_MS }) });
    stage.clock.advance(MINUTE_MS);
    await pruned();
    expect(await rowsOf(jobId)).toEqual({});
  });

  it('that another job has taken over stays with that one', async () => {
    const first = await succeeded({ idempotency: key('k', { ttlMs: 1_000 }) });
    stage.clock.advance(2_000);
    const next = await again('k');
    stage.clock.advance(MINUTE_MS);
    expect(await pruned()).toBe(1);
    expect(await rowsOf(first)).toEqual({});
    expect(await again('k')).toMatchObject({ kind: 'duplicate', job: { jobId: next?.kind === 'enqueued' ? next.job.jobId : '' } });
  });
});

describe('what a request was answered', () => {
  it('is remembered for a day and for the longest retention, and then forgotten', async () => {
    const [jobId] = await stage.enqueue(queue, {});
    const item = { namespace: queue.namespace, jobId: jobId ?? expect.unreachable(), reason: '' };
    const request = { requestId: 'r', digest: Buffer.alloc(32) };
    const kept = async () => (await stage.sql`select 1 from stint.request where namespace = ${queue.namespace}`).length;
    await stage.repository.cancelMany([{ ...item, request }]);
    // Seven days is the retention of the queues that were not put.
    await stage.queue();
    stage.clock.advance(8 * DAY_MS);
    await pruned();
    expect(await kept()).toBe(1);
    stage.clock.advance(1_000);
    await pruned();
    expect(await kept()).toBe(0);
  });
});

describe('a prune by filter', () => {
  const item = { queue: null, states: [], dryRun: false, actor: 'a', request: null } as const;

  it('goes on behind what it has passed over, though there is more of that than one call looks at', async () => {
    const aside = await stage.queue();
    const many = Array.from({ length: 1_000 }, () => ({}));
    for (let batch = 0; batch < 11; batch += 1) {
      const ids = await stage.enqueue(aside, ...many);
      await stage.repository.cancelMany(ids.map((jobId) => ({ namespace: aside.namespace, jobId, reason: '', request: null })));
    }
    stage.clock.advance(1);
    const jobId = await succeeded();
    const prune = () => stage.repository.pruneJobs({ ...item, namespace: queue.namespace, finishedBefore: stage.now + 1 });
    expect(await prune()).toEqual({ ok: true, value: { pruned: 0, complete: false } });
    expect(await prune()).toEqual({ ok: true, value: { pruned: 1, complete: true } });
    expect(await stage.repository.getJobs([jobId])).toEqual([null]);
    expect(await stage.sql`select 1 from stint.prune_mark where walk like 'filter %'`).toHaveLength(0);
  }, 60_000);

  it('that was given up is forgotten after a day', async () => {
    await stage.sql`insert into stint.prune_mark (shard, walk, finished_at, job, at)
      values (0, 'filter x', '-infinity', gen_random_uuid(), ${stage.clock.now().toISOString()})`;
    stage.clock.advance(DAY_MS + 1);
    await pruned();
    expect(await stage.sql`select 1 from stint.prune_mark where walk like 'filter %'`).toHaveLength(0);
  });
});
