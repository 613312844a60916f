import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import { DEFAULT_SETTINGS, type QueueSettings } from '../../../src/domain/queue.ts';
import type { AuditRecord, Configured, PutItem } from '../../../src/engine/ports/queues.ts';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { PATIENT, Stage } from '../../engine/stage.ts';

let stage: Stage;
/** Two replicas that wait for a lock as long as it takes. */
let one: Repository;
let other: Repository;
let namespace: string;

beforeAll(async () => {
  stage = await Stage.open();
  one = await stage.another({ settings: PATIENT });
  other = await stage.another({ settings: PATIENT });
});
beforeEach(() => {
  namespace = `n-${randomUUID()}`;
});
afterAll(() => stage.close());

const item = (name: string, told: Partial<QueueSettings>): PutItem => ({
  ...{ namespace, name, actor: 'a', request: null },
  change: (former) => ({ settings: { ...former, ...told } }),
});

const settingsOf = async (name: string) => (await stage.repository.configuredQueue({ namespace, name }))?.settings;

/** Where the first one stops: it has locked its queue and has not written to it yet, or it has and cannot open a gate. */
const STOPS = {
  'before it has written': (sql: Sql) => sql`insert into stint.queue (shard, namespace, name) values (0, ${namespace}, 'dead')`,
  'when it has written': (sql: Sql) => sql`lock table stint.journal in row exclusive mode`,
};

/** Both at once: the second begins where the first has stopped, and goes on when that one has committed. */
async function oneAfterTheOther(first: PutItem, second: PutItem, stop = STOPS['when it has written']): Promise<readonly Configured[]> {
  const stranger = await stage.stranger(stop);
  const begun = [one.putQueue(first)];
  await stage.waitingForLocks(1);
  begun.push(other.putQueue(second));
  await stage.waitingForLocks(2);
  await stranger.rollback();
  return await Promise.all(begun);
}

const bounded = { maxInFlight: 2 };

describe('who configures a queue that another configures', () => {
  it.each(Object.entries(STOPS))('waits for the other %s, and changes what that one has made of it', async (_when, stop) => {
    await stage.queue({ namespace });
    const changed = {
      ...bounded,
      deadLetterQueue: 'dead',
      rateLimit: { perKey: false, permits: 3, periodMs: 1_000, burst: 3 },
      leaseGraceMs: 7,
    };
    const answers = await oneAfterTheOther(item('q', changed), item('q', { maxQueued: 5 }), stop);
    expect(answers.map(({ kind }) => kind)).toEqual(['done', 'done']);
    expect(await settingsOf('q')).toEqual({ ...DEFAULT_SETTINGS, ...changed, maxQueued: 5 });
    const [second, first] = (await one.listAudit(namespace, 'q', 10, null)).records;
    expect(second?.before).toBe(first?.after);
  });

  it('waits also where both would make it', async () => {
    await oneAfterTheOther(item('q', bounded), item('q', { maxQueued: 5 }));
    expect(await settingsOf('q')).toEqual({ ...DEFAULT_SETTINGS, ...bounded, maxQueued: 5 });
  });

  it('closes no circle with it, though neither queue was there', async () => {
    const [first, second] = await oneAfterTheOther(item('x', { ...bounded, deadLetterQueue: 'y' }), item('y', { deadLetterQueue: 'x' }));
    expect(first?.kind).toBe('done');
    expect(second).toMatchObject({ kind: 'refused', refusal: { violations: [{ field: 'queue.dead_letter.queue' }] } });
    expect((await settingsOf('y'))?.deadLetterQueue).toBe('');
  });

  it('closes no circle with it over a third queue', async () => {
    await one.putQueue(item('x', { deadLetterQueue: 'y' }));
    await stage.queue({ namespace, name: 'z' });
    const [first, second] = await oneAfterTheOther(item('y', { ...bounded, deadLetterQueue: 'z' }), item('z', { deadLetterQueue: 'x' }));
    expect([first?.kind, second?.kind]).toEqual(['done', 'refused']);
  });
});

describe('a way of dead letters that goes round already', () => {
  it('is led into by a third queue, and is walked once', { timeout: 10_000 }, async () => {
    const [x, y] = [await stage.queue({ namespace, name: 'x' }), await stage.queue({ namespace, name: 'y' })];
    await stage.sql`update stint.queue set dead_letter_queue_id = ${y.id} where id = ${x.id}`;
    await stage.sql`update stint.queue set dead_letter_queue_id = ${x.id} where id = ${y.id}`;
    expect(await one.putQueue(item('z', { deadLetterQueue: 'x' }))).toMatchObject({ kind: 'done' });
  });
});

describe('a change that is refused', () => {
  it('leaves no queue, no record and no answer behind', async () => {
    const request = { requestId: 'r-1', digest: Buffer.alloc(32) };
    const refusal = { kind: 'queue_not_found', namespace, queue: 'any' } as const;
    const refused = { ...item('q', {}), request, change: () => ({ refusal }) };
    expect(await one.putQueue(refused)).toEqual({ kind: 'refused', refusal });
    expect(await one.putQueue({ ...item('q', { deadLetterQueue: 'q' }), request })).toMatchObject({ kind: 'refused' });
    expect(await one.listQueues(namespace, 10, '')).toEqual([]);
    expect((await one.listAudit(namespace, null, 10, null)).records).toEqual([]);
    expect(await one.putQueue({ ...item('q', bounded), request })).toMatchObject({ kind: 'done', queue: { settings: bounded } });
  });
});

describe('the records of one queue', () => {
  const write = (queue: string, count: number) =>
    stage.sql`insert into stint.audit (shard, namespace, at, queue, action, actor, reason, before, after)
      select 0, ${namespace}, now(), ${queue}, 'PUT', '', '', '{}', n::text from generate_series(1, ${count}::int) n`;

  it('are found behind any number of others, of which one call passes over no more than it may', async () => {
    await write('q', 2);
    await write('busy', LIMITS.scannedRows + 5);
    await write('q', 1);
    const found: AuditRecord[][] = [];
    for (let before: bigint | null | undefined; before !== null;) {
      const page = await one.listAudit(namespace, 'q', 2, before ?? null);
      found.push([...page.records]);
      before = page.nextBefore;
    }
    expect(found.map((page) => page.map(({ after }) => after))).toEqual([['1'], ['2', '1'], []]);
    const whole = await one.listAudit(namespace, null, 1_000, null);
    expect([whole.records.length, whole.records[0]?.queue, whole.nextBefore]).toEqual([1_000, 'q', whole.records.at(-1)?.position]);
  });
});
