/** Many sessions at the same gates: no bound is passed at any instant, and the counts are right afterwards. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue, QueueSettings } from '../../src/domain/queue.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { idsOf, PATIENT, slot, Stage } from '../engine/stage.ts';
import { countsOf, put } from '../support/bounds.ts';
import { claimTimes, type Deed, Lane, mostPastRate, Onlooker } from './bounded.ts';
import { openTransaction } from './open-transaction.ts';

const REPLICAS = 3;
/** More sessions than the machine has cores, so that they queue at a gate and find its row changed when they come to it. */
const LANES = 12;
/** Of each property; CI asks for 30. */
const RUNS = Number(process.env['STINT_RACE_RUNS'] ?? 8);

let stage: Stage;
let queue: Queue;
let replicas: readonly Repository[];
beforeAll(async () => {
  stage = await Stage.open();
  replicas = await Promise.all(Array.from({ length: REPLICAS }, () => stage.another({ clock: DATABASE_CLOCK, settings: PATIENT })));
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const at = (index: number) => replicas[index % REPLICAS] ?? expect.unreachable();
/** As often as the service tries what lost a race. */
const TRIES = 5;

const lanesOn = (queuesOf: (index: number) => readonly Queue[], tries = 1) =>
  Array.from({ length: LANES }, (_, index) => new Lane({ stage, repository: at(index), queues: queuesOf(index), tries }));

/** No replica has been thrown out, every gate counts what is there, and nothing is wrong. */
async function areSound(queues: readonly Queue[]): Promise<void> {
  for (const one of queues) {
    const { counted, there } = await countsOf(stage.sql, one);
    expect(counted).toEqual(there);
  }
  expect(await stage.violations(queue.namespace)).toEqual([]);
}

const some = (kind: 'enqueue' | 'enqueue_later') => fc.record({ kind: fc.constant(kind), count: fc.integer({ min: 1, max: 6 }) });
const one = <Kind extends Deed['kind']>(...kinds: readonly Kind[]) => fc.constantFrom(...kinds).map((kind) => ({ kind }));
const claiming = fc.record({ kind: fc.constant('claim' as const), count: fc.integer({ min: 1, max: 6 }), start: fc.boolean() });

/** With these alone nothing comes back to wait that had left. */
const onward: fc.Arbitrary<Deed> = fc.oneof(
  some('enqueue'),
  some('enqueue_later'),
  claiming,
  claiming,
  one('ack', 'fail_for_good', 'cancel', 'retry', 'sweep'),
);
const anyDeed: fc.Arbitrary<Deed> = fc.oneof(onward, one('fail', 'release', 'release_later', 'suspend', 'resume'));

const rates = fc.record({
  permits: fc.integer({ min: 1, max: 50 }),
  perKey: fc.constant(false),
  periodMs: fc.integer({ min: 20, max: 500 }),
  burst: fc.integer({ min: 1, max: 20 }),
});
const bounds = fc.record({
  maxInFlight: fc.integer({ min: 1, max: 6 }),
  maxQueued: fc.integer({ min: 1, max: 20 }),
  rateLimit: fc.option(rates, { freq: 2 }),
});
const lanesOf = (deed: fc.Arbitrary<Deed>) =>
  fc.array(fc.array(deed, { minLength: 8, maxLength: 14 }), { minLength: LANES, maxLength: LANES });

type Bounds = Pick<QueueSettings, 'rateLimit'> & { readonly maxInFlight: number; readonly maxQueued: number };

/** What the lanes came to, and the most that was seen. */
async function race(told: Bounds, deeds: readonly (readonly Deed[])[]) {
  queue = await stage.queue();
  await put(stage.repository, queue, told);
  const onlooker = Onlooker.begin(stage.sql, [queue]);
  const lanes = lanesOn(() => [queue], TRIES);
  await Promise.all(lanes.map((lane, index) => lane.act(deeds[index] ?? [])));
  const seen = (await onlooker.end()).get(queue.id) ?? expect.unreachable();
  expect(seen.inFlight).toBeLessThanOrEqual(told.maxInFlight);
  if (told.rateLimit !== null) expect(mostPastRate(await claimTimes(stage.sql, queue), told.rateLimit)).toBeLessThanOrEqual(1e-6);
  await areSound([queue]);
  await Promise.all(lanes.map((lane) => lane.letGo()));
  expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: { leased: 0, running: 0 }, there: { leased: 0, running: 0 } });
  return seen;
}

describe('twelve lanes on three replicas', { timeout: 20 * 60_000 }, () => {
  it('pass no bound of a queue at any instant', async () => {
    await fc.assert(
      fc.asyncProperty(bounds, lanesOf(onward), async (told, deeds) => {
        expect((await race(told, deeds)).waiting).toBeLessThanOrEqual(told.maxQueued);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  it('pass none where jobs come back, but for those that come back', async () => {
    await fc.assert(
      fc.asyncProperty(bounds, lanesOf(anyDeed), async (told, deeds) => {
        // Whoever is let in was one of less than that many; a claim and a return change nothing of both together.
        expect((await race(told, deeds)).together).toBeLessThanOrEqual(told.maxQueued + told.maxInFlight);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  it('fill a queue to its last place, and no further', async () => {
    await put(stage.repository, queue, { maxQueued: 100 });
    const lanes = lanesOn(() => [queue]);
    await Promise.all(lanes.map((lane) => lane.act(Array.from({ length: 6 }, () => ({ kind: 'enqueue', count: 3 }) as const))));
    expect(lanes.reduce((sum, { refused }) => sum + refused, 0)).toBe(LANES * 18 - 100);
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: { ready: 100 }, there: { ready: 100 } });
  });

  it('take a queue to its last slot, and no further', async () => {
    await stage.enqueue(queue, ...Array.from({ length: 100 }, () => ({})));
    await put(stage.repository, queue, { maxInFlight: 40 });
    const lanes = lanesOn(() => [queue]);
    await Promise.all(lanes.map((lane) => lane.act(Array.from({ length: 6 }, () => ({ kind: 'claim', count: 3, start: true }) as const))));
    expect(lanes.reduce((sum, { claimed }) => sum + claimed, 0)).toBe(40);
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: { running: 40, ready: 60 }, there: { running: 40 } });
  });

  /** Gates are met in every order, those of the dead-letter copies last. */
  const meetings = [
    { who: 'claim, settle and sweep', tries: 1, deeds: ['fail_for_good', 'release_later', 'sweep', 'fail', 'ack'] },
    { who: 'retry, cancel and resume too', tries: TRIES, deeds: ['suspend', 'retry', 'sweep', 'fail_for_good', 'cancel', 'resume'] },
  ] as const;
  it.each(meetings)('go on over several queues whose failures meet in a third: they $who', async ({ tries, deeds }) => {
    const named = (name: string) => stage.queue({ namespace: queue.namespace, name });
    // By their numbers the one that the copies come to lies between the others.
    const [one, copies, two] = [await named('one'), await named('copies'), await named('two')];
    await put(stage.repository, copies, { maxQueued: 3, maxInFlight: 2 });
    for (const from of [one, two]) await put(stage.repository, from, { maxQueued: 30, maxInFlight: 5, deadLetterQueue: 'copies' });
    const orders = [[one, two], [two, one], [one], [two, copies], [copies, one]];
    const round = deeds.flatMap((kind, index): readonly Deed[] => [
      { kind: 'enqueue', count: 4 },
      { kind: 'claim', count: 3, start: index % 2 === 0 },
      { kind },
    ]);
    const onlooker = Onlooker.begin(stage.sql, [one, two, copies]);
    const lanes = lanesOn((index) => orders[index % orders.length] ?? [], tries);
    await Promise.all(lanes.map((lane) => lane.act(Array.from({ length: 5 }, () => round).flat())));
    const seen = await onlooker.end();
    expect([one, two, copies].map(({ id }) => seen.get(id)?.inFlight)).toEqual([5, 5, 2]);
    await areSound([one, two, copies]);
  });
});

describe('a claim that waits for a gate', () => {
  const claimOne = (repository: Repository) => repository.claim([queue], [slot({ maxJobs: 1 })]);

  it.each([
    { end: 'commit', given: 0 },
    { end: 'rollback', given: 1 },
  ] as const)('finds what the other took, or gave back by its $end', async ({ end, given }) => {
    await stage.enqueue(queue, {}, {});
    await put(stage.repository, queue, { maxInFlight: 1 });
    const first = await openTransaction(stage.database.url, (run) => claim(run, null, [queue], [slot()]));
    expect(first.outcome.jobs.flatMap(idsOf)).toHaveLength(1);
    const second = claimOne(at(0));
    await stage.waitingForLocks(1);
    await first[end]();
    expect((await second).jobs.flat()).toHaveLength(given);
    await areSound([queue]);
  });

  it('counts on from what others did meanwhile', async () => {
    await stage.enqueue(queue, ...Array.from({ length: 8 }, () => ({})));
    await put(stage.repository, queue, {
      maxInFlight: 8,
      maxQueued: 100,
      rateLimit: { perKey: false, permits: 1, periodMs: 3_600_000, burst: 5 },
    });
    const first = await openTransaction(stage.database.url, (run) => claim(run, null, [queue], [slot({ maxJobs: 2 })]));
    const others = Array.from({ length: 9 }, (_, index) => claimOne(at(index)));
    await stage.waitingForLocks(9);
    await first.commit();
    const given = (await Promise.all(others)).flatMap(({ jobs }) => jobs.flat());
    expect(given).toHaveLength(3);
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: { running: 5, ready: 3 } });
    await areSound([queue]);
  });
});
