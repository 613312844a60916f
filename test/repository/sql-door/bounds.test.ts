/** The SQL door of a queue that is bounded or drains: it keeps to both, and counts what it brings with the caller's transaction. */
import postgres, { type Sql } from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { OperatorAction, QueueSettings } from '../../../src/domain/queue.ts';
import { DATABASE_CLOCK } from '../../../src/engine/ports/clock.ts';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { Gate } from '../../engine/engine-on.ts';
import { PATIENT, slot, Stage, tokenOf } from '../../engine/stage.ts';
import { countsOf, NONE, put } from '../../support/bounds.ts';
import { type DoorCall, enter } from '../../support/sql-door.ts';

let stage: Stage;
let queue: Queue;
/** By the clock of the database, as the door. */
let service: Repository;
beforeAll(async () => {
  stage = await Stage.open();
  service = await stage.another({ clock: DATABASE_CLOCK, settings: PATIENT });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const door = (sql: Pick<Sql, 'unsafe'> = stage.sql, call: DoorCall = {}) =>
  enter(sql, { namespace: queue.namespace, queue: queue.name, ...call });
const bounded = (told: Partial<QueueSettings>) => put(service, queue, told);
const act = (action: OperatorAction) =>
  service.applyAction({ namespace: queue.namespace, queue: queue.name, action, actor: 'test', reason: '', request: null });
const refused = (call: Promise<unknown>) =>
  call.then(
    () => expect.unreachable('it was taken'),
    (error: unknown) => error,
  );

/** The gate counts these, and these are there. */
async function waiting(ready: number): Promise<void> {
  expect(await countsOf(stage.sql, queue)).toEqual({ counted: { ...NONE, ready }, there: { ...NONE, ready } });
  expect(await stage.violations(queue.namespace)).toEqual([]);
}

describe('a full queue', () => {
  beforeEach(async () => {
    await bounded({ maxQueued: 2 });
    await door();
    await door();
  });

  it('takes no more (53400), and tells how many wait', async () => {
    expect(await refused(door())).toMatchObject({ code: '53400', message: 'stint.enqueue: queue q is full: 2 jobs wait, and 2 may' });
    expect(await refused(door(stage.sql, { disposition: 'EXTERNALLY_OWNED' }))).toMatchObject({ code: '53400' });
    await waiting(2);
  });

  it('tells of what is there already, as if it were not full', async () => {
    await bounded({ maxQueued: 3 });
    const { job_id } = await door(stage.sql, { idempotency_key: 'k' });
    expect(await door(stage.sql, { idempotency_key: 'k' })).toEqual({ job_id, deduplicated: true });
    expect(await refused(door(stage.sql, { idempotency_key: 'other' }))).toMatchObject({ code: '53400' });
    await waiting(3);
  });

  it('takes no more over gRPC either, and one once one has left', async () => {
    expect(await service.enqueueMany([stage.item(queue)])).toMatchObject([
      { kind: 'refused', refusal: { kind: 'queue_saturated', depth: 2 } },
    ]);
    await stage.claim(queue);
    await door();
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: { ready: 2, running: 1 }, there: { ready: 2, running: 1 } });
  });
});

describe('a place that an open transaction is about to take', () => {
  it('is had by whoever comes first: the other commits nothing (53400)', async () => {
    await bounded({ maxQueued: 1 });
    const open = await stage.stranger((sql) => door(sql));
    expect(await service.enqueueMany([stage.item(queue)])).toMatchObject([{ kind: 'enqueued' }]);
    expect(await refused(open.commit())).toMatchObject({
      code: '53400',
      message: 'stint.enqueue: queue q is full: 1 jobs wait, and 1 may',
    });
    await waiting(1);
  });

  it('keeps nobody waiting meanwhile: not those who come and go in the queue, nor upkeep', async () => {
    await bounded({ maxQueued: 9, maxInFlight: 9 });
    await service.enqueueMany([stage.item(queue), stage.item(queue, { runAt: (await service.databaseTime()) + 500_000 })]);
    const open = await stage.stranger((sql) => door(sql));
    const { jobs } = await service.claim([queue], [slot()]);
    const acks = jobs.flat().map((one) => ({ token: tokenOf(one), result: new Uint8Array(), contentType: '' }));
    expect(await service.ackMany(acks)).toMatchObject([{ kind: 'applied' }]);
    await vi.waitFor(async () => expect(await service.promoteDue()).toMatchObject({ count: 1 }), { timeout: 10_000 });
    await waiting(1);
    await open.commit();
    await waiting(2);
  });

  it('is counted with what the same transaction brought before, at once', async () => {
    await bounded({ maxQueued: 2 });
    await stage.sql.begin(async (sql) => {
      await door(sql);
      await door(sql, { run_at: new Date(Date.now() + 3_600_000).toISOString() });
      expect(await refused(sql.savepoint((inner) => door(inner)))).toMatchObject({ code: '53400' });
    });
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: { ready: 1, scheduled: 1 }, there: { ready: 1, scheduled: 1 } });
    expect(await stage.sql`select * from stint.door_pending`).toEqual([]);
  });

  it('is given back where only a savepoint is rolled back', async () => {
    await bounded({ maxQueued: 1 });
    await stage.sql.begin(async (sql) => {
      await sql
        .savepoint(async (inner) => {
          await door(inner);
          throw new Error('undone');
        })
        .catch(() => undefined);
      await door(sql);
      expect(await refused(sql.savepoint((inner) => door(inner)))).toMatchObject({ code: '53400' });
    });
    await waiting(1);
  });

  it('is the last one for one of many', async () => {
    await bounded({ maxQueued: 7 });
    const entered = await Promise.allSettled(Array.from({ length: 30 }, () => door()));
    expect(entered.filter(({ status }) => status === 'fulfilled')).toHaveLength(7);
    await waiting(7);
  });
});

describe('a queue that drains', () => {
  it.each(['DRAIN_BACKLOG', 'DRAIN_IN_FLIGHT'] as const)('takes none by %s (55000), and some again when it is resumed', async (action) => {
    await act(action);
    expect(await refused(door())).toMatchObject({ code: '55000', message: 'stint.enqueue: queue q is draining: it takes no new jobs' });
    await waiting(0);
    await act('RESUME');
    await door();
    expect(await countsOf(stage.sql, queue)).toMatchObject({ counted: null, there: { ready: 1 } });
  });

  it('takes some while it is paused', async () => {
    await act('PAUSE');
    await door();
    expect(await countsOf(stage.sql, queue)).toMatchObject({ there: { ready: 1 } });
  });

  it('is not drained before those that were let in have ended', async () => {
    const open = await stage.stranger((sql) => door(sql));
    const draining = act('DRAIN_BACKLOG');
    await stage.waitingForLocks(1);
    await open.commit();
    expect(await draining).toMatchObject({ kind: 'done', changed: true });
    await waiting(1);
  });
});

describe('a transaction whose snapshot is older than the bounds', () => {
  const changes = [
    ['a bound is set', () => bounded({ maxQueued: 5 })],
    ['it drains', () => act('DRAIN_BACKLOG')],
  ] as const;
  it.each(changes)('must begin anew once %s', async (_name, change) => {
    const outcome = stage.sql.begin('isolation level repeatable read', async (sql) => {
      await sql`select 1 from stint.queue limit 1`;
      await change();
      await door(sql);
    });
    await expect(outcome).rejects.toMatchObject({ code: '40001' });
    await waiting(0);
  });

  it('is counted where they stand', async () => {
    await bounded({ maxQueued: 5 });
    for (const level of ['repeatable read', 'serializable']) await stage.sql.begin(`isolation level ${level}`, (sql) => door(sql));
    await waiting(2);
  });
});

describe('a gate that is opened while somebody is about to come', () => {
  /** Others have their keys, in a transaction that never comes to the journal; the first one is let go before the other. */
  const keysHeld = async () => {
    const hold = (key: string) => (sql: Sql) =>
      sql`insert into stint.idem (shard, queue_id, key, job, until_terminal) values (0, ${queue.id}, ${key}, ${stage.mint.mint()}, false)`;
    return [await stage.stranger(hold('one')), await stage.stranger(hold('other'))] as const;
  };

  it('is kept to by those who found none, each at its commit', async () => {
    const [one, other] = await keysHeld();
    const client = postgres(stage.database.url, { max: 2, fetch_types: false });
    onTestFinished(() => client.end());
    const [entered, end] = [new Gate(), new Gate()];
    const first = client.begin(async (sql) => {
      await door(sql, { idempotency_key: 'one' });
      entered.open();
      await end.opened;
    });
    const late = door(client, { idempotency_key: 'other' });
    await stage.waitingForLocks(2);
    await bounded({ maxQueued: 1 });
    await one.rollback();
    await entered.opened;
    await other.rollback();
    await late;
    end.open();
    expect(await refused(first)).toMatchObject({ code: '53400' });
    await waiting(1);
  });
});
