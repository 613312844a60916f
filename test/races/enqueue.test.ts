/** The same keys and ids, brought by several at once. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobSpec } from '../../src/domain/job.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { EnqueueOutcome, Repository } from '../../src/engine/ports/repository.ts';
import { Database, type Run } from '../../src/repository/database.ts';
import { enqueueMany } from '../../src/repository/jobs/enqueue-many.ts';
import { PATIENT, Stage, tokenOf } from '../engine/stage.ts';
import { openTransaction } from './open-transaction.ts';

let stage: Stage;
let queue: Queue;
let replicas: readonly [Repository, Repository];
beforeAll(async () => {
  stage = await Stage.open();
  replicas = [await stage.another({ settings: PATIENT }), await stage.another({ settings: PATIENT })];
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const keyed = (key: string, scope: 'RETAINED' | 'UNTIL_TERMINAL' = 'RETAINED'): Partial<JobSpec> => ({
  idempotency: { key, scope, ttlMs: null },
});
const idOf = (outcome: EnqueueOutcome | undefined) => (outcome !== undefined && 'job' in outcome ? outcome.job.jobId : null);
const fresh = (outcomes: readonly EnqueueOutcome[]) => outcomes.filter(({ kind }) => kind === 'enqueued');

async function counts() {
  const [row] = await stage.sql`select (select count(*)::int from stint.job where queue_id = ${queue.id}) as jobs,
    (select count(*)::int from stint.idem where queue_id = ${queue.id}) as keys, (select count(*)::int from stint.ready where queue_id = ${queue.id}) as ready`;
  return row;
}

describe('one key', () => {
  it('brought forty times at once from two replicas makes one job', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, index) => replicas[index % 2 === 0 ? 0 : 1].enqueueMany([stage.item(queue, keyed('k'))])),
    );
    expect(fresh(outcomes.flat())).toHaveLength(1);
    expect(new Set(outcomes.flat().map(idOf)).size).toBe(1);
    expect(await counts()).toEqual({ jobs: 1, keys: 1, ready: 1 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('that is free is taken over by one of many', async () => {
    await stage.enqueue(queue, keyed('k', 'UNTIL_TERMINAL'));
    const [held] = await stage.claim(queue);
    if (held === undefined) throw new Error('nothing was claimed');
    await stage.repository.ackMany([{ token: tokenOf(held), result: new Uint8Array(), contentType: '' }]);
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        replicas[index % 2 === 0 ? 0 : 1].enqueueMany([
          stage.item(queue, keyed('k', 'UNTIL_TERMINAL')),
          stage.item(queue, keyed('k', 'UNTIL_TERMINAL')),
        ]),
      ),
    );
    expect(fresh(outcomes.flat())).toHaveLength(1);
    expect(new Set(outcomes.flat().map(idOf)).size).toBe(1);
    expect(await counts()).toEqual({ jobs: 2, keys: 1, ready: 1 });
  });

  it('that is free is not taken from one who has taken it over meanwhile', async () => {
    await stage.enqueue(queue, { idempotency: { key: 'k', scope: 'RETAINED', ttlMs: 1 } });
    stage.clock.advance(1);
    const database = new Database({ url: stage.database.url, connections: 1, applicationName: 'a late one', settings: 'hot' });
    const others: EnqueueOutcome[] = [];
    const run: Run = async (statement, values) => {
      const rows = await database.run(statement, values);
      if (statement.name === 'find-duplicates' && others.length === 0)
        others.push(...(await replicas[0].enqueueMany([stage.item(queue, keyed('k'))])));
      return rows;
    };
    const late = await enqueueMany(run, stage.clock.now().toISOString(), [stage.item(queue, keyed('k'))]);
    await database.close();
    expect(others).toMatchObject([{ kind: 'enqueued' }]);
    expect(late).toMatchObject([{ kind: 'duplicate', job: { jobId: idOf(others[0]) } }]);
    expect(await counts()).toEqual({ jobs: 2, keys: 1, ready: 2 });
  });

  it('that another one is bringing is waited for, and is his when he commits', async () => {
    const open = await openTransaction(stage.database.url, (run) => enqueueMany(run, null, [stage.item(queue, keyed('k'))]));
    const outcome = replicas[0].enqueueMany([stage.item(queue, keyed('k'))]);
    await stage.waitingForLocks(1);
    await open.commit();
    expect(await outcome).toMatchObject([{ kind: 'duplicate', job: { jobId: idOf(open.outcome[0]) } }]);
  });

  it('that another one is bringing is free when he undoes it', async () => {
    const open = await openTransaction(stage.database.url, (run) => enqueueMany(run, null, [stage.item(queue, keyed('k'))]));
    const outcome = replicas[0].enqueueMany([stage.item(queue, keyed('k'))]);
    await stage.waitingForLocks(1);
    await open.rollback();
    expect(await outcome).toMatchObject([{ kind: 'enqueued' }]);
    expect(await counts()).toEqual({ jobs: 1, keys: 1, ready: 1 });
  });
});

describe('five hundred keys', () => {
  it('brought twice at once in opposite orders make one job each, without a deadlock', async () => {
    for (let round = 0; round < 3; round += 1) {
      const keys = Array.from({ length: 500 }, (_, index) => keyed(`${round}-${index}`));
      const [forth, back] = await Promise.all([
        replicas[0].enqueueMany(keys.map((told) => stage.item(queue, told))),
        replicas[1].enqueueMany([...keys].reverse().map((told) => stage.item(queue, told))),
      ]);
      expect(fresh([...forth, ...back])).toHaveLength(500);
      expect(forth.map(idOf)).toEqual([...back].reverse().map(idOf));
    }
    expect(await counts()).toEqual({ jobs: 1_500, keys: 1_500, ready: 1_500 });
  });
});

describe('five hundred ids of the client', () => {
  it('brought twice at once in opposite orders make one job each, without a deadlock', async () => {
    for (let round = 0; round < 3; round += 1) {
      const ids = Array.from({ length: 500 }, () => stage.mint.mint());
      const [forth, back] = await Promise.all([
        replicas[0].enqueueMany(ids.map((jobId) => stage.item(queue, { jobId }))),
        replicas[1].enqueueMany([...ids].reverse().map((jobId) => stage.item(queue, { jobId }))),
      ]);
      expect(fresh([...forth, ...back])).toHaveLength(500);
      expect([...forth.map(idOf), ...back.map(idOf).reverse()]).toEqual([...ids, ...ids]);
    }
    expect(await counts()).toMatchObject({ jobs: 1_500, ready: 1_500 });
  });
});

describe('an id of the client', () => {
  it('that another one commits meanwhile leaves the key free which came with it', async () => {
    const jobId = stage.mint.mint();
    const open = await openTransaction(stage.database.url, (run) => enqueueMany(run, null, [stage.item(queue, { jobId })]));
    // Undone as a lost race; the engine runs it again.
    const outcome = expect(replicas[0].enqueueMany([stage.item(queue, { jobId, ...keyed('stray') })])).rejects.toMatchObject({
      kind: 'conflict',
    });
    await stage.waitingForLocks(1);
    await open.commit();
    await outcome;
    expect(await counts()).toEqual({ jobs: 1, keys: 0, ready: 1 });
    expect(await replicas[0].enqueueMany([stage.item(queue, { jobId, ...keyed('stray') })])).toMatchObject([
      { kind: 'duplicate', job: { jobId } },
    ]);
    expect(await replicas[0].enqueueMany([stage.item(queue, keyed('stray'))])).toMatchObject([{ kind: 'enqueued' }]);
  });
});

describe('a queue', () => {
  it('made by many at once is one queue', async () => {
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, index) => {
        const names = ['a', 'b', 'c'].map((name) => ({ namespace: queue.namespace, name }));
        return replicas[index % 2 === 0 ? 0 : 1].createQueues(index % 3 === 0 ? names.reverse() : names);
      }),
    );
    expect(new Set(made.flat().map(({ name, id }) => `${name} ${id}`)).size).toBe(3);
  });
});

describe('two atomic batches of the same keys', () => {
  it('are each whole or nothing: one enqueues all, the other finds all', async () => {
    const keys = Array.from({ length: 50 }, (_, index) => keyed(`k${index}`));
    const batch = (replica: Repository, told: readonly Partial<JobSpec>[]) =>
      replica.enqueueAtomic(
        told.map((one) => stage.item(queue, one)),
        (outcomes) => outcomes.some(({ kind }) => kind !== 'enqueued'),
      );
    const both = await Promise.all([batch(replicas[0], keys), batch(replicas[1], [...keys].reverse())]);
    expect(both.map((outcomes) => fresh(outcomes).length).sort((a, b) => a - b)).toEqual([0, 50]);
    expect(await counts()).toEqual({ jobs: 50, keys: 50, ready: 50 });
  });
});
