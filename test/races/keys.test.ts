/** Many sessions at the slots of few keys: never more of a key in flight than may be, and nothing stays BLOCKED. */
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Failure } from '../../src/domain/job.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/domain/retry.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { ClaimedJob, Repository } from '../../src/engine/ports/repository.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { PATIENT, slot, Stage, tokenOf } from '../engine/stage.ts';
import { put } from '../support/bounds.ts';

const REPLICAS = 3;
const LANES = 6;
const ROUNDS = 6;
/** Looks for what is left, and no more: each ends some of it. */
const LOOKS = 400;
const KEYS = ['a', 'b', 'c'];
const MOST = 2;
const SOON_MS = 5;
const QUICK = { ...DEFAULT_RETRY_POLICY, maxAttempts: 1_000, initialBackoffMs: SOON_MS, maxBackoffMs: SOON_MS };
const BROKEN: Failure = { code: 'broken', message: '', details: new Uint8Array(), kind: 'RETRYABLE' };

let stage: Stage;
let replicas: readonly Repository[];
beforeAll(async () => {
  stage = await Stage.open();
  replicas = await Promise.all(Array.from({ length: REPLICAS }, () => stage.another({ clock: DATABASE_CLOCK, settings: PATIENT })));
});
afterAll(() => stage.close());

const at = (index: number) => replicas[index % REPLICAS] ?? expect.unreachable();

/** The most of one key that a stranger saw in flight at once, of all keys and looks. */
function watch(sql: Sql, { id }: Queue) {
  let most = 0;
  let ended = false;
  const watching = (async () => {
    while (!ended) {
      const [row] = await sql<{ most: number }[]>`
        select coalesce(max(n), 0)::int as most from (select count(*) as n from stint.lease where queue_id = ${id} group by lock_key) k`;
      most = Math.max(most, row?.most ?? 0);
    }
  })();
  return {
    end: async () => {
      ended = true;
      await watching;
      return most;
    },
  };
}

/** What one does with what it has claimed. A worker that dies does nothing. */
async function settle(repository: Repository, one: ClaimedJob, how: number): Promise<unknown> {
  const token = tokenOf(one);
  switch (how % 8) {
    case 0:
      return await repository.failMany([{ token, failure: BROKEN, retryAfterMs: SOON_MS, jitterFactor: 1 }]);
    case 1:
      return await repository.releaseMany([{ token, delayMs: 0 }]);
    case 2:
      return await repository.releaseMany([{ token, delayMs: SOON_MS }]);
    case 3:
      return await stage.sql`update stint.lease set until = now() - interval '1 second' where job = ${one.job.jobId}`;
    default:
      return await repository.ackMany([{ token, result: new Uint8Array(), contentType: '' }]);
  }
}

/** Tries what a lost connection or another's lock undid. Deadlocks are none of those. */
async function patiently(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind === 'conflict') throw error;
    }
  }
  throw new Error('tried in vain');
}

const enqueue = (repository: Repository, queue: Queue, lane: number, round: number) =>
  repository.enqueueMany(
    [0, 1, 2].map((n) => stage.item(queue, { concurrencyKey: KEYS[(lane + round + n) % KEYS.length] ?? '', priority: (lane * round) % 3 })),
  );

async function upkeep(repository: Repository): Promise<void> {
  await repository.promoteDue();
  await repository.expireLeases();
  await repository.unblock();
}

async function lane(index: number, queue: Queue): Promise<void> {
  const repository = at(index);
  for (let round = 0; round < ROUNDS; round += 1) {
    await patiently(() => enqueue(repository, queue, index, round));
    const held: ClaimedJob[] = [];
    await patiently(async () => held.push(...(await repository.claim([queue], [slot({ maxJobs: 2 })])).jobs.flat()));
    for (const one of held) await patiently(() => settle(repository, one, index + round));
    if (round % 4 === 0) await patiently(() => upkeep(repository));
  }
}

/** Claims and ends what there is, until nothing waits. */
async function finish(queue: Queue): Promise<void> {
  for (let looks = 0; looks < LOOKS; looks += 1) {
    await upkeep(at(0));
    const { jobs } = await at(0).claim([queue], [slot({ maxJobs: 100 })]);
    await at(0).ackMany(jobs.flat().map((one) => ({ token: tokenOf(one), result: new Uint8Array(), contentType: '' })));
    if (jobs.flat().length > 0) continue;
    const [left] = await stage.sql<{ n: number }[]>`
      select (select count(*) from stint.ready where queue_id = ${queue.id}) + (select count(*) from stint.lease where queue_id = ${queue.id})
        + (select count(*) from stint.deferred where queue_id = ${queue.id}) + (select count(*) from stint.parked where queue_id = ${queue.id}) as n`;
    if (Number(left?.n) === 0) return;
  }
  expect.fail('something waits for ever');
}

describe('six lanes on three replicas', { timeout: 120_000 }, () => {
  it.each(['RELEASE', 'HOLD'] as const)('pass no bound of a key, and end everything, with %s', async (concurrencyPolicy) => {
    const queue = await stage.queue();
    await put(at(0), queue, { concurrencyPerKey: MOST, concurrencyPolicy, leaseGraceMs: 0, retry: QUICK });
    const onlooker = watch(stage.sql, queue);
    await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index, queue)));
    expect(await stage.violations(queue.namespace)).toEqual([]);
    await stage.sql`update stint.lease set until = now() - interval '1 second' where queue_id = ${queue.id}`;
    await finish(queue);
    expect(await onlooker.end()).toBe(MOST);
    expect(await stage.violations(queue.namespace)).toEqual([]);
    // Nothing waits: whatever slot is left is only waiting for its turn to be swept.
    expect(await stage.sql`select * from stint.slot where queue_id = ${queue.id} and held <> 0`).toEqual([]);
  });

  it.each([
    ['pg_cancel_backend', 20],
    ['pg_terminate_backend', 200],
  ] as const)('lose what follows a commit to %s, and leave nothing BLOCKED', async (strikes, everyMs) => {
    const queue = await stage.queue();
    await put(at(0), queue, { concurrencyPerKey: MOST, leaseGraceMs: 0, retry: QUICK });
    const onlooker = watch(stage.sql, queue);
    let ended = false;
    const strike = (async () => {
      while (!ended) {
        await stage.sql`select ${stage.sql(strikes)}(pid) from pg_stat_activity
          where datname = current_database() and state = 'active' and (query like '/* unblock%' or query like '/* lock-%keys%') limit 1`;
        await new Promise<void>((resolve) => setTimeout(resolve, everyMs));
      }
    })();
    await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index, queue)));
    ended = true;
    await strike;
    await stage.sql`update stint.lease set until = now() - interval '1 second' where queue_id = ${queue.id}`;
    await finish(queue);
    expect(await onlooker.end()).toBeLessThanOrEqual(MOST);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});
