/** The numbers of queues: of the tallies and the tail of the journal together, whatever part of it is folded. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { Database } from '../../../src/repository/database.ts';
import { enqueueMany } from '../../../src/repository/jobs/enqueue-many.ts';
import { foldJournal } from '../../../src/repository/upkeep/fold-journal.ts';
import { recountOf, statsOf, toldOf } from '../../engine/queue-stats.ts';
import { PATIENT, Stage, tokenOf } from '../../engine/stage.ts';
import { openTransaction } from '../../races/open-transaction.ts';
import { put } from '../../support/bounds.ts';
import { MOVES, moveOn } from '../token-moves.ts';

let stage: Stage;
let queue: Queue;
let copies: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  await stage.repository.foldJournal();
});
beforeEach(async () => {
  queue = await stage.queue();
  copies = await stage.queue({ namespace: queue.namespace, name: 'copies' });
  await put(stage.repository, queue, { deadLetterQueue: 'copies' });
  moveOn(stage, queue);
});
afterAll(() => stage.close());

/** Until nothing is left: how many statements that were. */
async function foldAll(): Promise<number> {
  let count = 0;
  for (;;) {
    const round = await stage.repository.foldJournal();
    count += round.count;
    if (round.count === 0) return count;
  }
}

async function expectExact(): Promise<void> {
  for (const one of [queue, copies]) expect(await toldOf(stage.repository, one)).toEqual(await recountOf(stage.sql, one));
}

describe('the numbers of a queue are those of a recount', () => {
  it.each(MOVES)('after $what', async ({ move, expected, copies: ready }) => {
    await foldAll();
    await move();
    const { retry_wait: retryWait = 0, ...others } = expected;
    expect(await toldOf(stage.repository, queue)).toMatchObject({ retryWait, ...others });
    expect(await toldOf(stage.repository, copies)).toMatchObject({ ready });
    await expectExact();
    expect(await foldAll()).toBeGreaterThan(0);
    expect((await stage.repository.nextDue()).foldAt).toBeNull();
    await expectExact();
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('where each half of a move is on another side of the fold', async () => {
    const held = await stage.held(queue);
    await foldAll();
    await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    await expectExact();
  });
});

describe('stats', () => {
  it('are of no queue that nobody made', async () => {
    expect(await stage.repository.queueStats({ namespace: queue.namespace, name: 'nobody' })).toBeNull();
  });

  it('are nothing of a queue that is empty', async () => {
    expect(await statsOf(stage.repository, queue)).toMatchObject({
      jobs: { scheduled: 0, blocked: 0, ready: 0, leased: 0, running: 0, retryWait: 0, suspended: 0 },
      ...{ oldestReadyMs: null, limiter: 'EMPTY', deadLetters: 0, status: 'ACTIVE' },
      rates: { enqueued: 0, claimed: 0, finished: 0, failed: 0 },
    });
  });

  it('tell the age of the oldest snapshot, if anybody holds one', async () => {
    const { oldestSnapshotMs } = await statsOf(await stage.another(), queue);
    expect(oldestSnapshotMs).toBeNull();
    const stranger = await stage.stranger((sql) =>
      sql`set transaction isolation level repeatable read`.then(() => sql`select from stint.queue`),
    );
    const first = (await statsOf(await stage.another(), queue)).oldestSnapshotMs ?? expect.unreachable();
    const again = (await statsOf(await stage.another(), queue)).oldestSnapshotMs ?? expect.unreachable();
    expect(first).toBeGreaterThanOrEqual(0);
    expect(again).toBeGreaterThan(first);
    await stranger.rollback();
    expect((await statsOf(await stage.another(), queue)).oldestSnapshotMs).toBeNull();
  });
});

const ages = async () => (await statsOf(stage.repository, queue)).oldestReadyMs;

describe('the age of the oldest job', () => {
  it('is that of the first in line, whatever its priority', async () => {
    await stage.enqueue(queue, { priority: -5 });
    stage.clock.advance(1_000);
    await stage.enqueue(queue, { priority: 5 }, { priority: 0 });
    stage.clock.advance(500);
    expect(await ages()).toBe(1_500);
    await stage.claim(queue);
    expect(await ages()).toBe(1_500);
    await stage.claim(queue, { maxJobs: 2 });
    expect(await ages()).toBeNull();
  });

  it('is found among the lowest priorities, however many there are', async () => {
    await stage.enqueue(queue, { priority: -1 });
    stage.clock.advance(1_000);
    await stage.enqueue(queue, ...Array.from({ length: 60 }, (_, priority) => ({ priority })));
    expect(await ages()).toBe(1_000);
  });

  it('begins when the job became READY, and goes on where it is released', async () => {
    const jobId = (await stage.enqueue(queue, { runAt: stage.now + 2_000_000 }))[0] ?? expect.unreachable();
    expect(await ages()).toBeNull();
    stage.clock.advance(2_000);
    await stage.repository.promoteDue();
    stage.clock.advance(300);
    expect(await ages()).toBe(300);
    const held = (await stage.claim(queue))[0] ?? expect.unreachable();
    expect(held.job.jobId).toBe(jobId);
    stage.clock.advance(100);
    await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    expect(await ages()).toBe(400);
    await stage.repository.updateMany([{ namespace: queue.namespace, jobId, request: null, change: { priority: 9 } }]);
    expect(await ages()).toBe(400);
  });
});

describe('rates', () => {
  const rates = async () => (await statsOf(stage.repository, queue)).rates;
  const jobs = (count: number) => Array.from({ length: count }, () => ({}));
  const fold = () => stage.repository.foldJournal();

  it.each([
    ['folded', fold],
    ['not folded', async () => undefined],
  ])('are of the last minute, %s', async (_how, afterwards) => {
    await stage.enqueue(queue, ...jobs(30));
    await afterwards();
    expect(await rates()).toMatchObject({ enqueued: 0.5 });
    stage.clock.advance(30_000);
    await stage.claim(queue, { maxJobs: 6 });
    await afterwards();
    expect(await rates()).toEqual({ enqueued: 0.5, claimed: 0.1, finished: 0, failed: 0 });
    stage.clock.advance(31_000);
    expect(await rates()).toMatchObject({ enqueued: 0, claimed: expect.closeTo(0.1, 2) });
    stage.clock.advance(30_000);
    expect(await rates()).toEqual({ enqueued: 0, claimed: 0, finished: 0, failed: 0 });
  });

  it('are those of the burst that follows a pause', async () => {
    for (const count of [12, 18]) {
      await stage.enqueue(queue, ...jobs(count));
      await fold();
      stage.clock.advance(1_000);
    }
    stage.clock.advance(600_000);
    await stage.enqueue(queue, ...jobs(6));
    expect(await rates()).toMatchObject({ enqueued: 0.1 });
    await fold();
    expect(await rates()).toMatchObject({ enqueued: 0.1 });
  });

  it('are even where the work is, for longer than is remembered', async () => {
    for (let second = 0; second < 150; second += 1) {
      await stage.enqueue(queue, {}, {});
      await fold();
      stage.clock.advance(1_000);
    }
    expect((await rates()).enqueued).toBeCloseTo(2, 1);
    const [row] = await stage.sql<
      { kept: number }[]
    >`select cardinality(samples) as kept from stint.queue_tally where queue_id = ${queue.id}`;
    expect(row?.kept).toBeLessThanOrEqual(80);
  });

  it('tell lives that began and ended, claims, and attempts that failed', async () => {
    const failure = { code: 'x', message: '', details: new Uint8Array(), kind: 'RETRYABLE' } as const;
    await stage.enqueue(queue, ...jobs(6));
    const held = await stage.claim(queue, { maxJobs: 3 });
    await stage.repository.failMany(held.map((one) => ({ token: tokenOf(one), failure, retryAfterMs: 1, jitterFactor: 1 })));
    const [done] = await stage.claim(queue);
    await stage.repository.ackMany([{ token: tokenOf(done ?? expect.unreachable()), result: new Uint8Array(), contentType: '' }]);
    const { enqueued, claimed, finished, failed } = await rates();
    expect([enqueued, claimed, finished, failed].map((rate) => Math.round(rate * 60))).toEqual([6, 4, 1, 3]);
  });
});

describe('the tallies', () => {
  it('begin with what is there, where no journal tells it', async () => {
    await MOVES[0]?.move();
    await stage.held(queue, { claim: { startOnClaim: false } });
    await stage.sql`update stint.journal set moves = null`;
    await stage.sql`delete from stint.queue_tally`;
    await stage.sql`delete from stint.tally_mark`;
    const replicas = [await stage.another(), await stage.another(), stage.repository];
    const told = await Promise.all(replicas.map((one) => toldOf(one, queue)));
    const there = await recountOf(stage.sql, queue);
    expect(told).toEqual([there, there, there]);
    expect(there).toMatchObject({ ready: 2, leased: 1 });
    await stage.enqueue(queue, {});
    await foldAll();
    await expectExact();
  });

  it('are folded a few statements at a time, and again at once while there are more', async () => {
    await foldAll();
    for (let count = 0; count < 10; count += 1) await stage.enqueue(queue, {});
    const run = new Database({ url: stage.database.url, connections: 1, applicationName: 'a folder', settings: 'plain' });
    const now = stage.clock.now().toISOString();
    const counts: number[] = [];
    for (let more = true; more;) {
      const round = await foldJournal({ run: run.run, slow: run.run }, now, 4);
      counts.push(round.count);
      more = round.more;
      await expectExact();
    }
    expect(counts).toEqual([4, 4, 2]);
    await run.close();
  });

  it('are as they were where a folder dies in the midst of it, and nobody waits for one', async () => {
    await stage.enqueue(queue, {});
    await foldAll();
    await stage.enqueue(queue, {}, {});
    const stranger = await stage.stranger((sql) => sql`select from stint.queue_tally where queue_id = ${queue.id} for update`);
    const dying = await stage.another({ settings: PATIENT });
    const death = expect(dying.foldJournal()).rejects.toThrow();
    await stage.waitingForLocks(1);
    expect(await stage.repository.foldJournal()).toMatchObject({ count: 0 });
    await stage.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await death;
    await stranger.rollback();
    expect(await toldOf(stage.repository, queue)).toMatchObject({ ready: 3 });
    expect(await foldAll()).toBe(1);
    await expectExact();
  });

  it('count what was open while others were folded, once it commits', async () => {
    await foldAll();
    const open = await openTransaction(stage.database.url, (run) => enqueueMany(run, null, [stage.item(queue)]));
    await stage.enqueue(queue, {});
    await foldAll();
    expect(await toldOf(stage.repository, queue)).toMatchObject({ ready: 1 });
    await open.commit();
    expect((await stage.repository.nextDue()).foldAt).not.toBeNull();
    expect(await toldOf(stage.repository, queue)).toMatchObject({ ready: 2 });
    await stage.enqueue(queue, {});
    await foldAll();
    expect(await toldOf(stage.repository, queue)).toMatchObject({ ready: 3 });
    await expectExact();
  });

  it('go on over a new history of the database, whatever part of the former is folded', async () => {
    await stage.enqueue(queue, {}, {});
    await foldAll();
    await stage.enqueue(queue, {});
    await stage.sql`update stint.epoch set system_identifier = system_identifier + 1`;
    expect(await toldOf(stage.repository, queue)).toMatchObject({ ready: 3 });
    const [again] = await stage.repository.resolveQueues([queue]);
    await stage.enqueue(again ?? expect.unreachable(), {});
    await expectExact();
    await foldAll();
    expect(await toldOf(stage.repository, queue)).toMatchObject({ ready: 4 });
    await expectExact();
  });
});

describe('a check of invariants', () => {
  const columns = ['scheduled', 'blocked', 'ready', 'leased', 'running', 'retry_wait', 'suspended', 'dead_letters'];
  it.each(columns)('finds a queue whose %s are told wrong (I16)', async (column) => {
    await stage.enqueue(queue, {});
    await foldAll();
    await stage.sql`update stint.queue_tally set ${stage.sql(column)} = ${stage.sql(column)} + 1 where queue_id = ${queue.id}`;
    expect(await stage.violations(queue.namespace)).toMatchObject([
      { invariant: 'I16', jobId: null, detail: expect.stringContaining('queue q ') },
    ]);
    expect(await stage.violations((await stage.queue()).namespace)).toEqual([]);
  });
});
