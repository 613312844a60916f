/** Operators who bound, open, pause and drain a queue while it is at work on two replicas. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorAction, Queue } from '../../src/domain/queue.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { Configured } from '../../src/engine/ports/queues.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import { enqueueMany } from '../../src/repository/jobs/enqueue-many.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { PATIENT, slot, Stage } from '../engine/stage.ts';
import { countsOf, put } from '../support/bounds.ts';
import { enter } from '../support/sql-door.ts';
import { type Deed, Lane } from './bounded.ts';
import { openTransaction } from './open-transaction.ts';

const LANES = 8;
const CHANGES = 12;
/** Some commits of each lane. */
const A_WHILE_MS = 40;

let stage: Stage;
let queue: Queue;
let replicas: readonly Repository[];
beforeAll(async () => {
  stage = await Stage.open();
  replicas = await Promise.all([1, 2].map(() => stage.another({ clock: DATABASE_CLOCK, settings: PATIENT })));
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const at = (index: number) => replicas[index % 2] ?? expect.unreachable();

const act = (action: OperatorAction, { name = queue.name, by = at(0) }: { name?: string | null; by?: Repository } = {}) =>
  by.applyAction({ namespace: queue.namespace, queue: name, action, actor: 'test', reason: '', request: null });

const WORK: readonly Deed[] = [
  { kind: 'enqueue', count: 3 },
  { kind: 'claim', count: 3, start: true },
  { kind: 'ack' },
  { kind: 'claim', count: 2, start: false },
  { kind: 'release' },
  { kind: 'fail_for_good' },
  { kind: 'fail' },
  { kind: 'sweep' },
];

/** Goes on with the work on both replicas until `meanwhile` is done. */
async function atWork(meanwhile: () => Promise<void>, deeds: readonly Deed[] = WORK): Promise<void> {
  const end = new AbortController();
  const lanes = Array.from({ length: LANES }, async (_, index) => {
    const lane = new Lane({ stage, repository: at(index), queues: [queue], tries: 1 });
    while (!end.signal.aborted) await lane.act(deeds);
  });
  await Promise.all([meanwhile().finally(() => end.abort()), ...lanes]);
}

async function countsRight(): Promise<void> {
  const { counted, there } = await countsOf(stage.sql, queue);
  expect(counted).toEqual(there);
}

describe('a queue at work on two replicas', { timeout: 60_000 }, () => {
  it('is counted right from the answer on that bounds it, however often', async () => {
    await atWork(async () => {
      for (let change = 0; change < CHANGES; change += 1) {
        await put(at(change), queue, { maxInFlight: 5, maxQueued: 200, rateLimit: null });
        for (let look = 0; look < 10; look += 1) await countsRight();
        await put(at(change + 1), queue, { maxQueued: null, maxInFlight: null });
        expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: null });
        await pause(A_WHILE_MS);
      }
      await put(at(0), queue, { maxInFlight: 5 });
    });
    await countsRight();
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is counted right from the answer on that drains it', async () => {
    await atWork(async () => {
      for (let change = 0; change < CHANGES; change += 1) {
        await act(change % 2 === 0 ? 'DRAIN_BACKLOG' : 'DRAIN_IN_FLIGHT', { by: at(change) });
        for (let look = 0; look < 5; look += 1) await countsRight();
        await act('RESUME', { by: at(change + 1) });
        await pause(A_WHILE_MS);
      }
    });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  /** All that was ever claimed, or enqueued. */
  const claims = async () => {
    const [row] = await stage.sql<{ count: number }[]>`
      select (select count(*)::int from stint.lease where queue_id = ${queue.id})
        + (select count(*)::int from stint.attempt a join stint.job j on j.shard = 0 and j.id = a.job where j.queue_id = ${queue.id}) as count`;
    return row?.count ?? 0;
  };
  const enqueues = async () => (await stage.sql`select 1 from stint.job where queue_id = ${queue.id}`).length;
  const stops = [
    { what: 'is claimed from', action: 'PAUSE', of: 'q', total: claims },
    { what: 'is claimed from', action: 'PAUSE', of: null, total: claims },
    { what: 'is claimed from', action: 'DRAIN_IN_FLIGHT', of: 'q', total: claims },
    { what: 'is enqueued to', action: 'DRAIN_IN_FLIGHT', of: 'q', total: enqueues },
    { what: 'is enqueued to', action: 'DRAIN_BACKLOG', of: 'q', total: enqueues },
  ] as const;
  it.each(stops)('$what no more from the answer on to $action (of $of)', async ({ action, of, total }) => {
    const deeds = WORK.filter(({ kind }) => ['enqueue', 'claim', 'ack'].includes(kind));
    await atWork(async () => {
      for (let change = 0; change < CHANGES / 2; change += 1) {
        await pause(A_WHILE_MS);
        const before = await total();
        await act(action, { name: of, by: at(change) });
        const answered = await total();
        expect(answered).toBeGreaterThan(0);
        await pause(A_WHILE_MS);
        expect(await total()).toBe(answered);
        await act('RESUME', { name: of });
        expect(answered).toBeGreaterThanOrEqual(before);
      }
    }, deeds);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('an action on what is just being done', () => {
  const claiming = () => openTransaction(stage.database.url, (run) => claim(run, null, [queue], [slot()]));
  const enqueueing = () => openTransaction(stage.database.url, (run) => enqueueMany(run, null, [stage.item(queue)]));
  const meetings = [
    { action: 'PAUSE', what: 'a claim', open: claiming },
    { action: 'DRAIN_IN_FLIGHT', what: 'a claim', open: claiming },
    { action: 'DRAIN_BACKLOG', what: 'an enqueue', open: enqueueing },
    { action: 'DRAIN_IN_FLIGHT', what: 'an enqueue', open: enqueueing },
  ] as const;
  it.each(meetings)('$action is answered after $what that is under way', async ({ action, open }) => {
    await stage.enqueue(queue, {}, {});
    const underWay = await open();
    let answered = false;
    const acted = act(action).then((done) => {
      answered = true;
      return done;
    });
    await stage.waitingForLocks(1);
    expect(answered).toBe(false);
    await underWay.commit();
    expect(await acted).toMatchObject({ kind: 'done', changed: true });
    const left = action === 'DRAIN_BACKLOG' ? 1 : 0;
    expect((await at(1).claim([queue], [slot()])).jobs.flat()).toHaveLength(left);
    expect(await at(1).enqueueMany([stage.item(queue)])).toMatchObject([{ kind: action === 'PAUSE' ? 'enqueued' : 'refused' }]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('waits for no gate, which others hold who wait for the journal', async () => {
    await put(at(0), queue, { maxQueued: 5 });
    const holder = await stage.stranger((sql) => sql`select 1 from stint.gate where queue_id = ${queue.id} for update`);
    await expect(act('DRAIN_BACKLOG', { by: stage.repository })).resolves.toMatchObject({ kind: 'done' });
    await holder.rollback();
  });
});

describe('a queue that an open transaction of the SQL door enqueues to', () => {
  const changes: readonly (readonly [string, (by: Repository) => Promise<Configured>])[] = [
    ['is bounded', (by) => put(by, queue, { maxQueued: 10 })],
    ['is drained', (by) => act('DRAIN_BACKLOG', { by })],
  ];

  it.each(changes)('%s after it: counted with what it brought, or without', async (_name, change) => {
    for (const end of ['commit', 'rollback'] as const) {
      queue = await stage.queue();
      await stage.enqueue(queue, {});
      const open = await stage.stranger((sql) => enter(sql, { namespace: queue.namespace, queue: queue.name }));
      const changed = change(at(0));
      await stage.waitingForLocks(1);
      await open[end]();
      expect(await changed).toMatchObject({ kind: 'done', changed: true });
      const ready = end === 'commit' ? 2 : 1;
      expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: { ready }, there: { ready } });
    }
  });

  it.each(changes)('%s not at all where nobody is that patient', async (_name, change) => {
    const open = await stage.stranger((sql) => enter(sql, { namespace: queue.namespace, queue: queue.name }));
    await expect(change(stage.repository)).rejects.toMatchObject({ kind: 'contended' });
    await open.commit();
    expect(await stage.repository.configuredQueue(queue)).toMatchObject({ status: 'ACTIVE', settings: { maxQueued: null } });
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: null, there: { ready: 1 } });
    expect(await change(stage.repository)).toMatchObject({ kind: 'done' });
  });
});
