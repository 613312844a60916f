/** Keys and ids at the door: with themselves, with the service, and between transactions that are open at once. */
import type { Sql } from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type JobId, parseJobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { DATABASE_CLOCK } from '../../../src/engine/ports/clock.ts';
import type { EnqueueOutcome, Repository } from '../../../src/engine/ports/repository.ts';
import { jobSpec, slot, Stage, tokenOf } from '../../engine/stage.ts';
import { callOf, type DoorCall, enter } from '../../support/sql-door.ts';

let stage: Stage;
let service: Repository;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  service = await stage.another({ clock: DATABASE_CLOCK });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const door = (call: DoorCall, sql: Pick<Sql, 'unsafe'> = stage.sql) =>
  enter(sql, { namespace: queue.namespace, queue: queue.name, ...call });
const keyed = (key: string): DoorCall => ({ idempotency_key: key });
const untilTerminal = (key: string): DoorCall => ({ ...keyed(key), idempotency_scope: 'UNTIL_TERMINAL' });
const duplicate = { code: '23505' };
const idOf = (jobId: string): JobId => parseJobId(jobId) ?? expect.unreachable();

const jobOf = (outcome: EnqueueOutcome | undefined) => (outcome !== undefined && 'job' in outcome ? outcome.job.jobId : null);

async function rows() {
  const [row] = await stage.sql`select (select count(*)::int from stint.job where queue_id = ${queue.id}) as jobs,
    (select count(*)::int from stint.idem where queue_id = ${queue.id}) as keys, (select count(*)::int from stint.ready where queue_id = ${queue.id}) as ready,
    (select count(*)::int from stint.journal where queue_ids = array[${queue.id}::int] and types = array[1::smallint]) as journal`;
  return row;
}

async function finish(): Promise<void> {
  const { jobs } = await service.claim([queue], [slot()]);
  const [one] = jobs.flat();
  if (one === undefined) throw new Error('nothing was claimed');
  await service.ackMany([{ token: tokenOf(one), result: new Uint8Array(), contentType: '' }]);
}

describe('a key', () => {
  it('gives the first job again, also once that has ended', async () => {
    const first = await door(keyed('k'));
    expect(await door(keyed('k'))).toEqual({ job_id: first.job_id, deduplicated: true });
    await finish();
    expect(await door({ ...keyed('k'), priority: 3, labels: '{"a":"b"}' })).toEqual({ job_id: first.job_id, deduplicated: true });
    expect(await rows()).toEqual({ jobs: 1, keys: 1, ready: 0, journal: 1 });
  });

  it('whose ttl goes on when its job is pruned gives that job still, and one without a ttl is free', async () => {
    const lasting = { ...keyed('lasting'), idempotency_ttl: '1 hour' };
    const [first] = [await door(lasting), await finish(), await door(keyed('brief')), await finish()];
    const item = { namespace: queue.namespace, queue: null, states: [], dryRun: false, actor: '', request: null };
    expect(await service.pruneJobs({ ...item, finishedBefore: Date.now() * 1_000 + 60_000_000 })).toMatchObject({ value: { pruned: 2 } });
    expect(await rows()).toMatchObject({ jobs: 0, keys: 1 });
    expect(await door(lasting)).toEqual({ job_id: first.job_id, deduplicated: true });
    await expect(door({ ...lasting, payload: 'other' })).rejects.toMatchObject({ ...duplicate, detail: `job_id ${first.job_id}` });
    expect(await door(keyed('brief'))).toMatchObject({ deduplicated: false });
  });

  it('is refused for other content, with the id of the job that holds it', async () => {
    const first = await door(keyed('k'));
    const others = [{ type: 'other' }, { payload: 'other' }, { content_type: 'other' }, { disposition: 'OWNER_BOUND' }];
    for (const other of others) {
      await expect(door({ ...keyed('k'), ...other })).rejects.toMatchObject({ ...duplicate, detail: `job_id ${first.job_id}` });
    }
  });

  it('is refused where the caller wants it so, also for the same content', async () => {
    await door(keyed('k'));
    await expect(door({ ...keyed('k'), on_duplicate: 'REJECT' })).rejects.toMatchObject(duplicate);
  });

  it('is free in another queue', async () => {
    const first = await door(keyed('k'));
    expect(await door({ ...keyed('k'), queue: 'another' })).toMatchObject({
      deduplicated: false,
      job_id: expect.not.stringMatching(first.job_id),
    });
  });

  it('until terminal is held by the next job once the first has ended', async () => {
    const first = await door(untilTerminal('k'));
    expect(await door(untilTerminal('k'))).toMatchObject({ deduplicated: true });
    await finish();
    const next = await door({ ...untilTerminal('k'), payload: 'other' });
    expect(next).toMatchObject({ deduplicated: false, job_id: expect.not.stringMatching(first.job_id) });
    await expect(door(untilTerminal('k'))).rejects.toMatchObject(duplicate);
    expect((await rows())?.['keys']).toBe(1);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('with a ttl is free after it', async () => {
    const first = await door({ ...keyed('k'), idempotency_ttl: '1 hour' });
    expect(await door(keyed('k'))).toMatchObject({ deduplicated: true });
    await stage.sql`update stint.idem set expires_at = clock_timestamp() where job = ${first.job_id}`;
    expect(await door(keyed('k'))).toMatchObject({ deduplicated: false });
  });

  it('of the door holds for the service, and the other way round', async () => {
    const { job_id: jobId } = await door(callOf(queue.namespace, jobSpec({ idempotency: { key: 'd', scope: 'RETAINED', ttlMs: null } })));
    const key = (name: string) => stage.item(queue, { idempotency: { key: name, scope: 'RETAINED', ttlMs: null } });
    const [again, own] = await service.enqueueMany([key('d'), key('s')]);
    expect(again).toMatchObject({ kind: 'duplicate', sameContent: true, job: { jobId } });
    expect(own).toMatchObject({ kind: 'enqueued' });
    expect(await door({ ...keyed('s'), payload: 'payload' })).toEqual({ job_id: jobOf(own), deduplicated: true });
    await expect(door({ ...keyed('s'), payload: 'other' })).rejects.toMatchObject(duplicate);
  });
});

describe('an id of the caller', () => {
  it('makes one job, however often it is sent', async () => {
    const jobId = stage.mint.mint();
    expect(await door({ job_id: jobId })).toEqual({ job_id: jobId, deduplicated: false });
    expect(await door({ job_id: jobId })).toEqual({ job_id: jobId, deduplicated: true });
    await expect(door({ job_id: jobId, type: 'other' })).rejects.toMatchObject(duplicate);
    await expect(door({ job_id: jobId, on_duplicate: 'REJECT' })).rejects.toMatchObject(duplicate);
  });

  it('that is known in another namespace is refused without a word about that job', async () => {
    const jobId = stage.mint.mint();
    await door({ job_id: jobId, namespace: 'elsewhere' });
    const refusal = await door({ job_id: jobId }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ ...duplicate, message: 'stint.enqueue: job_id is taken' });
    expect(refusal).not.toHaveProperty('detail');
  });

  it('goes before its key: a known id with a new key leaves that key free', async () => {
    const jobId = stage.mint.mint();
    await door({ job_id: jobId, ...keyed('first') });
    expect(await door({ job_id: jobId, ...keyed('stray') })).toEqual({ job_id: jobId, deduplicated: true });
    expect(await door(keyed('stray'))).toMatchObject({ deduplicated: false });
  });

  it('that is new, with a known key, gives the job of the key', async () => {
    const first = await door(keyed('held'));
    const jobId = stage.mint.mint();
    expect(await door({ job_id: jobId, ...keyed('held') })).toEqual({ job_id: first.job_id, deduplicated: true });
    expect(await service.getJobs([idOf(jobId)])).toEqual([null]);
  });
});

describe('within one transaction', () => {
  it('a key that is repeated makes one job, and rolled back it makes none', async () => {
    const undone = stage.sql.begin(async (sql) => {
      const first = await door(keyed('k'), sql);
      expect(await door(keyed('k'), sql)).toEqual({ job_id: first.job_id, deduplicated: true });
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect(await rows()).toEqual({ jobs: 0, keys: 0, ready: 0, journal: 0 });
    expect(await door(keyed('k'))).toMatchObject({ deduplicated: false });
  });

  it('a savepoint that is rolled back takes its job along, and no other', async () => {
    const kept = await stage.sql.begin(async (sql) => {
      const first = await door(keyed('kept'), sql);
      await sql
        .savepoint(async (inner) => {
          await door(keyed('undone'), inner);
          await door({ ...keyed('kept'), type: 'other' }, inner);
        })
        .catch((error: unknown) => expect(error).toMatchObject(duplicate));
      return first;
    });
    expect(await rows()).toEqual({ jobs: 1, keys: 1, ready: 1, journal: 1 });
    expect(await stage.eventTypes(idOf(kept.job_id))).toEqual(['enqueued']);
  });
});

describe('two transactions with one key', () => {
  const ends = [
    { end: 'commit', makes: 'gets the job of the first', deduplicated: true },
    { end: 'rollback', makes: 'makes a job of its own', deduplicated: false },
  ] as const;

  it.each(ends)('the second waits, and after the $end of the first $makes', async ({ end, deduplicated }) => {
    const entered: string[] = [];
    const first = await stage.stranger(async (sql) => entered.push((await door(keyed('k'), sql)).job_id));
    const second = door(keyed('k'));
    await stage.waitingForLocks(1);
    await first[end]();
    expect(await second).toMatchObject({ deduplicated });
    expect((await second).job_id === entered[0]).toBe(deduplicated);
    expect(await rows()).toEqual({ jobs: 1, keys: 1, ready: 1, journal: 1 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('under REPEATABLE READ loses by a serialization failure, and is right when it is tried again', async () => {
    const outcome = stage.sql.begin('isolation level repeatable read', async (sql) => {
      await sql`select 1 from stint.idem limit 1`;
      await door(keyed('k'));
      await door(keyed('k'), sql);
    });
    await expect(outcome).rejects.toMatchObject({ code: '40001' });
    expect(await stage.sql.begin('isolation level serializable', (sql) => door(keyed('k'), sql))).toMatchObject({ deduplicated: true });
  });

  it('that is free, and found so before the first took it: the second looks again', async () => {
    await door(untilTerminal('k'));
    await finish();
    const first = await stage.sql.reserve();
    await first`begin`;
    await first`select 1 from stint.idem where queue_id = ${queue.id} for update`;
    const second = door(untilTerminal('k'));
    await stage.waitingForLocks(1);
    const { job_id: taken } = await door(untilTerminal('k'), first);
    await first`commit`;
    first.release();
    expect(await second).toEqual({ job_id: taken, deduplicated: true });
  });

  it('that is free: the second takes it from nobody, and gets the job of the first', async () => {
    await door(untilTerminal('k'));
    await finish();
    const entered: string[] = [];
    const first = await stage.stranger(async (sql) => entered.push((await door(untilTerminal('k'), sql)).job_id));
    const second = door(untilTerminal('k'));
    await stage.waitingForLocks(1);
    await first.commit();
    expect(await second).toEqual({ job_id: entered[0], deduplicated: true });
    expect(await rows()).toMatchObject({ jobs: 2, keys: 1, ready: 1 });
  });

  it('each, and one id: the key of the second stays free', async () => {
    const jobId = stage.mint.mint();
    const first = await stage.stranger((sql) => door({ job_id: jobId, ...keyed('one') }, sql));
    const second = door({ job_id: jobId, ...keyed('two') });
    await stage.waitingForLocks(1);
    await first.commit();
    expect(await second).toEqual({ job_id: jobId, deduplicated: true });
    expect(await rows()).toMatchObject({ jobs: 1, keys: 1 });
    expect(await door(keyed('two'))).toMatchObject({ deduplicated: false });
  });

  it('many at once, of the door and of the service, take over a free key for one job', async () => {
    await door(untilTerminal('k'));
    await finish();
    const spec = { payload: Buffer.alloc(0), idempotency: { key: 'k', scope: 'UNTIL_TERMINAL', ttlMs: null } } as const;
    const [entered, outcomes] = await Promise.all([
      Promise.all(Array.from({ length: 20 }, () => door(untilTerminal('k')))),
      Promise.all(Array.from({ length: 20 }, () => service.enqueueMany([stage.item(queue, spec)]))),
    ]);
    const ids = new Set([...entered.map((one) => one.job_id), ...outcomes.flat().map(jobOf)]);
    expect(ids.size).toBe(1);
    expect(await rows()).toMatchObject({ jobs: 2, keys: 1, ready: 1 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('a queue that springs up in both is one queue', async () => {
    const first = await stage.stranger((sql) => door({ queue: 'fresh' }, sql));
    const second = door({ queue: 'fresh' });
    await stage.waitingForLocks(1);
    await first.commit();
    await second;
    expect(await stage.sql`select count(*)::int from stint.queue where namespace = ${queue.namespace} and name = 'fresh'`).toMatchObject([
      { count: 1 },
    ]);
  });
});
