/** What a worker may hold, with many who claim and let go at once, on several replicas and over deaths; and claims by type beside them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Sql } from 'postgres';
import type { Queue } from '../../src/domain/queue.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import { sortingFirst } from '../../src/engine/workers/sorted-claim.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { idsOf, PATIENT, slot, Stage, tokenOf } from '../engine/stage.ts';
import { put } from '../support/bounds.ts';
import { openTransaction } from './open-transaction.ts';

let stage: Stage;
let replicas: readonly Repository[];
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  replicas = [await stage.another({ settings: PATIENT }), await stage.another({ settings: PATIENT })];
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const at = (index: number): Repository => replicas[index % replicas.length] ?? expect.unreachable();
/** So many jobs, of these types in turn; their ids. */
async function fill(count: number, types = ['']): Promise<readonly string[]> {
  const items = Array.from({ length: count }, (_, index) => stage.item(queue, { type: types[index % types.length] ?? '' }));
  expect((await at(0).enqueueMany(items)).every(({ kind }) => kind === 'enqueued')).toBe(true);
  return items.map(({ jobId }) => jobId);
}
const ended = { result: new Uint8Array(), contentType: '' };
const sound = async () => expect(await stage.violations(queue.namespace)).toEqual([]);

/** The most that a worker is seen to hold, by a stranger who looks again and again until the work is done. */
async function mostHeld(sql: Sql, work: () => Promise<unknown>): Promise<number> {
  let [isDone, most] = [false, 0];
  const done = work().finally(() => (isDone = true));
  while (!isDone) {
    const [row] = await sql<{ most: number }[]>`
      select coalesce(max(n), 0)::int as most from (select count(*) as n from stint.lease where queue_id = ${queue.id} group by worker) l`;
    most = Math.max(most, row?.most ?? 0);
  }
  await done;
  return most;
}

const WORKERS = ['a', 'b', 'c'];

describe('the bound on each worker', () => {
  it('is kept by many claims of few workers at once, on two replicas, alone and several in one statement', async () => {
    await put(stage.repository, queue, { maxInFlightPerWorker: 3 });
    await fill(400);
    let acked = 0;
    const lane = async (index: number) => {
      for (let round = 0; round < 25; round += 1) {
        const slots = Array.from({ length: (index % 3) + 1 }, (_, n) =>
          slot({ workerId: WORKERS[(index + n) % 3] ?? 'a', maxJobs: (round % 4) + 1 }),
        );
        const { jobs } = await at(index).claim([queue], slots);
        const items = jobs.flat().map((one) => ({ token: tokenOf(one), ...ended }));
        acked += (await at(index + 1).ackMany(items)).length;
      }
    };
    const most = await mostHeld(stage.sql, () => Promise.all(Array.from({ length: 8 }, (_, index) => lane(index))));
    expect(most).toBeLessThanOrEqual(3);
    expect(acked).toBeGreaterThan(30);
    await sound();
  });

  it('is kept over workers that die and leases that are swept meanwhile', async () => {
    await put(stage.repository, queue, { maxInFlightPerWorker: 2, maxInFlight: 5, leaseGraceMs: 0 });
    await fill(60);
    const lane = async (index: number) => {
      for (let round = 0; round < 30; round += 1) {
        await at(index).claim([queue], [slot({ workerId: WORKERS[index % 3] ?? 'a', maxJobs: 5, leaseDurationMs: 1_000 })]);
        // Nobody ends what was claimed: they are dead.
        if (round % 5 === 4) stage.clock.advance(600);
        if (index % 2 === 0) await at(index).expireLeases();
        await at(index).promoteDue();
      }
    };
    expect(await mostHeld(stage.sql, () => Promise.all(Array.from({ length: 6 }, (_, index) => lane(index))))).toBeLessThanOrEqual(2);
    await sound();
  });

  it.each([
    { end: 'commit', given: 0 },
    { end: 'rollback', given: 1 },
  ] as const)('counts what was claimed while a claim waited for the gate ($end)', async ({ end, given }) => {
    await put(stage.repository, queue, { maxInFlightPerWorker: 1 });
    await fill(3);
    const first = await openTransaction(stage.database.url, (run) => claim(run, null, [queue], [slot({ workerId: 'a' })]));
    const second = at(0).claim([queue], [slot({ workerId: 'a' })]);
    await stage.waitingForLocks(1);
    await first[end]();
    expect((await second).jobs.flat()).toHaveLength(given);
    await sound();
  });

  it('counts a claim that is under way when it is set', async () => {
    await fill(5);
    const first = await openTransaction(stage.database.url, (run) => claim(run, null, [queue], [slot({ workerId: 'a', maxJobs: 2 })]));
    const bounded = put(at(0), queue, { maxInFlightPerWorker: 2 });
    await stage.waitingForLocks(1);
    await first.commit();
    expect(await bounded).toMatchObject({ kind: 'done' });
    expect((await at(1).claim([queue], [slot({ workerId: 'a' })])).jobs.flat()).toEqual([]);
    await sound();
  });

  it('is kept while it is set, taken away and set again beside them', async () => {
    await put(stage.repository, queue, { maxInFlight: 100 });
    await fill(300);
    const lane = async (index: number) => {
      for (let round = 0; round < 25; round += 1) {
        const { jobs } = await at(index).claim([queue], [slot({ workerId: WORKERS[index % 3] ?? 'a', maxJobs: 3 })]);
        await at(index).heartbeatMany(jobs.flat().map((one) => ({ token: tokenOf(one), checkpoint: null })));
        await at(index).ackMany(jobs.flat().map((one) => ({ token: tokenOf(one), ...ended })));
      }
    };
    const change = async () => {
      for (let round = 0; round < 10; round += 1) await put(at(round), queue, { maxInFlightPerWorker: round % 2 === 0 ? 2 : null });
    };
    await Promise.all([...Array.from({ length: 4 }, (_, index) => lane(index)), change()]);
    await put(at(0), queue, { maxInFlightPerWorker: 2 });
    expect((await at(1).claim([queue], [slot({ workerId: 'a', maxJobs: 9 })])).jobs.flat()).toHaveLength(2);
    await sound();
  });
});

describe('claims by type', () => {
  it('and by any give each job once, while the queue is being sorted and filled', async () => {
    const before = await fill(1_200, ['a', 'b', 'c']);
    const got: string[] = [];
    const returned = new Set<string>();
    const lane = async (index: number) => {
      const take = sortingFirst(at(index));
      const types = [['a'], ['b', 'c'], []][index % 3] ?? [];
      for (let empty = 0; empty < 3;) {
        const { jobs } = await take([queue], [slot({ maxJobs: 40 })], types);
        got.push(...jobs.flatMap(idsOf));
        if (jobs.flat().length === 0) empty += 1;
        // Some come back once to where they were, with their type.
        const [back] = jobs.flat();
        if (back === undefined || returned.has(back.job.jobId) || got.length % 3 !== 0) continue;
        returned.add(back.job.jobId);
        await at(index).releaseMany([{ token: tokenOf(back), delayMs: 0 }]);
        got.splice(got.indexOf(back.job.jobId), 1);
      }
    };
    const filling = async () => {
      const more: string[] = [];
      for (let round = 0; round < 20; round += 1) more.push(...(await fill(10, ['a', 'b', 'c'])));
      return more;
    };
    const [more] = await Promise.all([filling(), ...Array.from({ length: 6 }, (_, index) => lane(index))]);
    // Those that came, or came back, when nobody looked any more.
    for (const types of [['a', 'b'], ['c']]) {
      const { jobs } = await at(0).claim([queue], [slot({ maxJobs: 1_000 })], types);
      got.push(...jobs.flatMap(idsOf));
    }
    expect(got.toSorted()).toEqual([...before, ...more].toSorted());
    await sound();
  });
});
