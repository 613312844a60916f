/** `max_in_flight_per_worker`: what one worker holds of a queue, and by which ways it gets room again. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobSpec } from '../../../src/domain/job.ts';
import { NO_TIMEOUTS } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import { slot, Stage, tokenOf } from '../../engine/stage.ts';
import { put } from '../../support/bounds.ts';
import { explaining } from '../../support/explain.ts';
import { claim } from '../../../src/repository/workers/claim.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
  await put(stage.repository, queue, { maxInFlightPerWorker: 2 });
});
afterAll(() => stage.close());

const many = (count: number, told: Partial<JobSpec> = {}, of = queue) => stage.enqueue(of, ...Array.from({ length: count }, () => told));
const take = (workerId: string, maxJobs = 10, queues: readonly Queue[] = [queue]) => stage.claim(queues, { workerId, maxJobs });
/** How many each slot of one statement was given. */
const looks = async (...told: readonly (readonly [string, number])[]) => {
  const given = await stage.repository.claim(
    [queue],
    told.map(([workerId, maxJobs]) => slot({ workerId, maxJobs })),
  );
  return { counts: given.jobs.map((jobs) => jobs.length), oneSlot: given.oneSlot, limits: given.limits };
};
const sound = async () => expect(await stage.violations(queue.namespace)).toEqual([]);

const ended = { result: new Uint8Array(), contentType: '' };
const failure = { code: '', message: '', details: new Uint8Array(), kind: 'RETRYABLE' } as const;
const asked = ({ job }: ClaimedJob) => ({ namespace: queue.namespace, jobId: job.jobId, request: null, reason: '' });
const HOUR_MS = 3_600_000;

describe('a worker', () => {
  it('holds no more than the bound, and keeps no other from the rest', async () => {
    await many(5);
    expect(await take('a')).toHaveLength(2);
    expect(await take('a')).toHaveLength(0);
    expect(await take('b', 1)).toHaveLength(1);
    expect(await take('b')).toHaveLength(1);
    expect(await take('c')).toHaveLength(1);
    await sound();
  });

  it('holds as many as it likes of another queue, and of a queue of its own bound as many as that says', async () => {
    const free = await stage.queue({ namespace: queue.namespace, name: 'free' });
    const other = await stage.queue({ namespace: queue.namespace, name: 'other' });
    await put(stage.repository, other, { maxInFlightPerWorker: 1 });
    await many(4);
    await many(4, {}, free);
    await many(4, {}, other);
    const given = await take('a', 100, [queue, free, other]);
    const of = (name: string) => given.filter(({ job }) => job.queue === name).length;
    expect([of('q'), of('free'), of('other')]).toEqual([2, 4, 1]);
    await sound();
  });

  it('is told why it gets none', async () => {
    await many(3);
    await take('a');
    expect(await looks(['a', 1])).toEqual({
      counts: [0],
      oneSlot: true,
      limits: [{ queue: 'q', limiter: 'PER_WORKER', ready: true, openInMs: null }],
    });
    await take('b');
    expect((await looks(['a', 1])).limits).toEqual([]);
  });

  it('is known by its id whoever else the statement serves', async () => {
    await many(9);
    expect((await looks(['a', 1], ['a', 1], ['a', 5], ['b', 9])).counts).toEqual([1, 0, 0, 0]);
    expect((await looks(['a', 1], ['a', 5], ['b', 9])).counts).toEqual([1, 0, 0]);
    expect((await looks(['a', 1], ['a', 5], ['b', 9])).counts).toEqual([0, 0, 2]);
    expect((await looks(['a', 1], ['a', 5], ['b', 9])).counts).toEqual([0, 0, 0]);
    expect((await looks(['b', 1], ['c', 1])).counts).toEqual([0, 1]);
    await sound();
  });

  const WAYS: readonly (readonly [string, (one: ClaimedJob) => Promise<unknown>, Partial<JobSpec>])[] = [
    ['an ack', (one) => stage.repository.ackMany([{ token: tokenOf(one), ...ended }]), {}],
    ['a failure', (one) => stage.repository.failMany([{ token: tokenOf(one), failure, retryAfterMs: HOUR_MS, jitterFactor: 1 }]), {}],
    ['a release for later', (one) => stage.repository.releaseMany([{ token: tokenOf(one), delayMs: HOUR_MS }]), {}],
    ['a release', (one) => stage.repository.releaseMany([{ token: tokenOf(one), delayMs: 0 }]), {}],
    ['a suspension', (one) => stage.repository.suspendMany([{ token: tokenOf(one), checkpoint: null, reason: '' }]), {}],
    ['an expiry', () => sweep(36_000), {}],
    ['a timeout', () => sweep(2_000), { timeouts: { ...NO_TIMEOUTS, startToCloseMs: 1_000 } }],
    ['a cancellation by force', (one) => stage.repository.cancelMany([asked(one)]).then(() => sweep(36_000)), {}],
  ];

  async function sweep(afterMs: number): Promise<void> {
    stage.clock.advance(afterMs);
    await stage.repository.expireLeases();
  }

  it.each(WAYS)('has room again after %s', async (_name, end, told) => {
    await put(stage.repository, queue, { maxInFlightPerWorker: 1 });
    await many(2, told);
    const [one] = await take('a');
    expect(await take('a')).toHaveLength(0);
    await end(one ?? expect.unreachable());
    expect(await take('a')).toHaveLength(1);
    expect(await take('a')).toHaveLength(0);
    await sound();
  });

  it('has none as long as its lease is over and not swept: another may hold to it until then', async () => {
    await many(3);
    await take('a');
    stage.clock.advance(36_000);
    expect(await take('a')).toHaveLength(0);
    await stage.repository.expireLeases();
    expect(await take('a')).toHaveLength(1);
  });

  it('has one where it is told to start by itself, too', async () => {
    await many(3);
    expect(await stage.claim(queue, { workerId: 'a', maxJobs: 9, startOnClaim: false })).toHaveLength(2);
    expect(await take('a')).toHaveLength(0);
  });
});

describe('the bound', () => {
  it('counts what was claimed before it was set', async () => {
    queue = await stage.queue();
    await many(9);
    expect(await take('a', 3)).toHaveLength(3);
    expect(await take('b', 1)).toHaveLength(1);
    await put(stage.repository, queue, { maxInFlightPerWorker: 2 });
    expect(await take('a')).toHaveLength(0);
    expect(await take('b')).toHaveLength(1);
    await sound();
  });

  it('takes nothing away when it is lowered, and gives at once when it is raised', async () => {
    await many(9);
    const held = await take('a');
    await put(stage.repository, queue, { maxInFlightPerWorker: 1 });
    await stage.repository.ackMany(held.slice(0, 1).map((one) => ({ token: tokenOf(one), ...ended })));
    expect(await take('a')).toHaveLength(0);
    await put(stage.repository, queue, { maxInFlightPerWorker: 4 });
    expect(await take('a')).toHaveLength(3);
    await sound();
  });

  it('is gone when it is taken away, and counts all when it comes back', async () => {
    await many(12);
    await take('a');
    for (const other of [{ maxInFlight: 50 }, {}]) {
      await put(stage.repository, queue, { ...other, maxInFlightPerWorker: null });
      expect(await take('a', 2)).toHaveLength(2);
      await put(stage.repository, queue, { ...other, maxInFlightPerWorker: 3 });
      expect(await take('a')).toHaveLength(0);
    }
    await sound();
  });

  it('stands beside max_in_flight', async () => {
    await put(stage.repository, queue, { maxInFlight: 3 });
    await many(9);
    expect([(await take('a')).length, (await take('b')).length, (await take('c')).length]).toEqual([2, 1, 0]);
    expect((await looks(['c', 1])).limits).toMatchObject([{ limiter: 'MAX_IN_FLIGHT' }]);
  });

  it('is found broken where a lease is not counted by worker (I11)', async () => {
    await many(1);
    await take('a');
    await stage.sql`update stint.lease set capped = null where queue_id = ${queue.id}`;
    expect(await stage.violations(queue.namespace)).toMatchObject([{ invariant: 'I11' }]);
  });

  it('reads what the workers hold by an index, beside many leases of others', async () => {
    await many(5);
    await stage.sql`
      insert into stint.lease (shard, job, token, namespace, worker, until, duration_ms, grace_ms, queue_id, rank, ord, claimed_at,
          claimed_seq, attempt, fence, life, seq, releases, size, checkpointed, capped)
      select 0, gen_random_uuid(), gen_random_uuid(), 'n', 'w' || (g / 2), now() + interval '1 day', 30000, 5000, ${queue.id}, 0, -g, now(),
             2, 1, 1, 1, 2, 0, 600, false, true from generate_series(1, 50000) g`;
    const { run, plans, close } = await explaining(stage.database.url);
    await put(stage.repository, queue, { maxInFlightPerWorker: 3 });
    // The first call of a connection reads what the server keeps of tables and functions.
    for (const workerId of ['w7', 'w8']) {
      const { jobs } = await claim(run, null, [queue], [slot({ workerId, maxJobs: 5 })]);
      expect(jobs.flat()).toHaveLength(1);
    }
    await close();
    expect(plans.get('claim')?.scanned).toEqual([]);
    expect(plans.get('claim')?.buffers).toBeLessThan(300);
    await stage.sql`delete from stint.lease where queue_id = ${queue.id}`;
  });
});
