/** What the door writes is what the service writes, row for row. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type JobSpec, parseJobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { contentDigest } from '../../../src/engine/jobs/content-digest.ts';
import { DATABASE_CLOCK } from '../../../src/engine/ports/clock.ts';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { jobSpec, policy, Stage } from '../../engine/stage.ts';
import { callOf, DOOR_ARGUMENTS, enter } from '../../support/sql-door.ts';

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

const HOUR_US = 3_600_000_000;
const soon = Date.now() * 1_000 + HOUR_US;
const timeouts = { scheduleToStartMs: 1, startToCloseMs: 31_622_400_000, scheduleToCloseMs: 3_600_001 };

const specs: Readonly<Record<string, Partial<JobSpec>>> = {
  'with nothing special': {},
  'with content of its own': {
    type: 'mail.send',
    payload: Buffer.from([0, 255, 92]),
    contentType: 'text/plain; é',
    headers: { traceparent: '00-é', '': '😀 x' },
    labels: { 'a"b': '\\', n: '1' },
  },
  'without a payload': { payload: new Uint8Array() },
  'of the highest priority': { priority: 2 ** 31 - 1 },
  'of the lowest priority': { priority: -(2 ** 31) },
  'that is due later': { type: 't', runAt: soon + 123_457 },
  'that is due at the last instant there is': { priority: 1, runAt: Date.UTC(2200, 0, 1) * 1_000 - 1 },
  'that was due long ago': { runAt: 0 },
  'with a key': { idempotency: { key: 'k-é', scope: 'RETAINED', ttlMs: null } },
  'with a key until terminal, for a time': { idempotency: { key: 'k', scope: 'UNTIL_TERMINAL', ttlMs: 1_001 } },
  'with a retry policy': {
    retry: {
      maxAttempts: 1,
      initialBackoffMs: 0,
      multiplier: 1.1,
      maxBackoffMs: 31_622_400_000,
      jitter: false,
      nonRetryableCodes: ['a', 'B.c'],
    },
  },
  'with an empty list of codes': { retry: policy({ jitter: true, nonRetryableCodes: null }) },
  'with timeouts': { timeouts },
  'with timeouts, due later': { timeouts, runAt: soon },
  'with schedule_to_start alone': { timeouts: { ...timeouts, scheduleToCloseMs: null } },
  'with schedule_to_close alone': { timeouts: { scheduleToStartMs: null, startToCloseMs: null, scheduleToCloseMs: 1 } },
  'bound to its owner': { disposition: 'OWNER_BOUND' },
  'externally owned': { disposition: 'EXTERNALLY_OWNED', timeouts: { ...timeouts, scheduleToStartMs: null, startToCloseMs: null } },
  'externally owned, due later': { disposition: 'EXTERNALLY_OWNED', runAt: soon },
};

interface Rows {
  readonly job: object;
  readonly tokens: readonly object[] | null;
  readonly journal: readonly object[] | null;
  readonly keys: readonly object[] | null;
}

/** Every row that tells of a job, without what differs between any two; instants as spans since its creation, its queue as whether it is the job's. */
async function rowsOf(jobId: string) {
  const [row] = await stage.sql<Rows[]>`
    select to_jsonb(j) - '{id,ord,created_at,namespace,queue_id}'::text[] || jsonb_build_object('positioned', j.ord is not null) as job,
        (select jsonb_agg(to_jsonb(t) - '{job,queue_id,ord,life_until,give_up_at}'::text[] || jsonb_build_object('life', t.life_until - j.created_at,
            'give_up', t.give_up_at - j.created_at, 'at_position', t.ord = j.ord, 'in_queue', t.queue_id = j.queue_id)) from (
          select 'ready' as place, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until, give_up_at,
              null::smallint as kind, null::timestamptz as due_at from stint.ready
          union all select 'deferred', queue_id, rank, null, job, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until, null,
              kind, due_at from stint.deferred
          union all select 'parked', queue_id, rank, null, job, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until, null,
              kind, null from stint.parked) t where t.job = j.id) as tokens,
        (select jsonb_agg(to_jsonb(e) - '{n,xid,at,jobs,queue_ids,details,moves}'::text[] || jsonb_build_object('moved', to_jsonb(e.moves[:][2:]), 'delay', e.at - j.created_at,
            'in_queue', e.queue_ids = array[j.queue_id], 'detail', e.details[1]::jsonb)) from stint.journal e where j.id = any(e.jobs)) as journal,
        (select jsonb_agg(to_jsonb(m) - '{job,queue_id,expires_at}'::text[] || jsonb_build_object('ttl', m.expires_at - j.created_at,
            'in_queue', m.queue_id = j.queue_id)) from stint.idem m where m.job = j.id) as keys
      from stint.job j where j.id = ${jobId}`;
  return row ?? expect.unreachable();
}

/** One job of the service and one of the door, in a queue each. */
async function both(told: Partial<JobSpec>) {
  const [outcome] = await service.enqueueMany([stage.item(queue, told)]);
  if (outcome?.kind !== 'enqueued') throw new Error(`not enqueued: ${outcome?.kind}`);
  const other = await stage.queue();
  const entered = await enter(stage.sql, callOf(other.namespace, jobSpec({ queue: other.name, ...told })));
  expect(entered.deduplicated).toBe(false);
  const jobId = parseJobId(entered.job_id) ?? expect.unreachable();
  return { ofService: outcome.job, ofDoor: await stage.job(jobId), namespace: other.namespace };
}

describe('a job of the door', () => {
  it.each(Object.entries(specs))('%s has the rows of one of the service', async (_, told) => {
    const { ofService, ofDoor, namespace } = await both(told);
    const rows = await rowsOf(ofDoor.jobId);
    expect(rows).toEqual(await rowsOf(ofService.jobId));
    expect([rows.tokens, rows.journal, rows.keys].map((found) => found?.length ?? 0)).toEqual([1, 1, told.idempotency ? 1 : 0]);
    expect(await stage.violations(namespace)).toEqual([]);
  });

  it.each(Object.entries(specs))('%s reads like one of the service, with its history', async (_, told) => {
    const { ofService, ofDoor, namespace } = await both(told);
    const own = { namespace, jobId: ofDoor.jobId };
    expect(ofDoor).toEqual({ ...ofService, ...own, createdAt: ofDoor.createdAt });
    const expected = (await service.history(ofService.jobId, 0, 10))?.events ?? [];
    expect(expected).toHaveLength(1);
    expect((await service.history(ofDoor.jobId, 0, 10))?.events).toEqual(
      expected.map((event) => ({ ...event, ...own, occurredAt: ofDoor.createdAt })),
    );
  });

  it('has an id of the time it came at, and stands behind whoever came before', async () => {
    const entered = [];
    for (let count = 0; count < 5; count += 1) entered.push((await enter(stage.sql, { queue: 'line', namespace: queue.namespace })).job_id);
    const rows = await stage.sql<
      { id: string; near: boolean }[]
    >`select id, abs(extract(epoch from created_at) * 1000 - stint.door_id_ms(id)) < 1000 as near from stint.job
      where namespace = ${queue.namespace} order by ord`;
    expect(rows.map(({ id, near }) => [id, near])).toEqual(entered.map((id) => [id, true]));
  });

  it('takes NULL for what was left out', async () => {
    const left = Object.fromEntries(Object.keys(DOOR_ARGUMENTS).map((name) => [name, null]));
    const { job_id: jobId } = await enter(stage.sql, { ...left, queue: 'nulls' });
    const { job_id: plain } = await enter(stage.sql, { queue: 'nulls' });
    expect(await rowsOf(jobId)).toEqual(await rowsOf(plain));
    const [row] = await stage.sql`select namespace from stint.job where id = ${jobId}`;
    expect(row).toEqual({ namespace: 'default' });
  });

  it('rounds a span up to whole milliseconds, as the wire does', async () => {
    const { job_id: jobId } = await enter(stage.sql, {
      ...queueOf(queue),
      start_to_close: '1 microsecond',
      schedule_to_close: '1000001 microseconds',
    });
    expect((await stage.sql`select run_ms::int, close_ms::int from stint.job where id = ${jobId}`)[0]).toEqual({
      run_ms: 1,
      close_ms: 1_001,
    });
  });

  it('keeps the codes of a list of any shape', async () => {
    const { job_id: jobId } = await enter(stage.sql, { ...queueOf(queue), non_retryable_codes: '[0:1][2:3]={{a,b},{c,d}}' });
    expect((await stage.sql`select non_retryable_codes as codes from stint.job where id = ${jobId}`)[0]).toEqual({
      codes: ['a', 'b', 'c', 'd'],
    });
    const { job_id: none } = await enter(stage.sql, { ...queueOf(queue), non_retryable_codes: '{}' });
    expect((await stage.sql`select non_retryable_codes as codes from stint.job where id = ${none}`)[0]).toEqual({ codes: null });
  });
});

const queueOf = ({ namespace, name }: Queue) => ({ namespace, queue: name });

describe("the door's digest", () => {
  const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', ''));
  const content = fc.record({
    queue: text,
    type: text,
    contentType: text,
    payload: fc.uint8Array(),
    disposition: fc.constantFrom('RERUNNABLE', 'OWNER_BOUND', 'EXTERNALLY_OWNED'),
  });

  it("is the service's, of any content", async () => {
    await fc.assert(
      fc.asyncProperty(content, async (told) => {
        const { queue: name, type, contentType, payload, disposition } = told;
        const [row] = await stage.sql`
          select stint.content_digest(${name}, ${type}, ${contentType}, ${Buffer.from(payload)}, ${disposition}) as digest`;
        expect(row?.['digest']).toEqual(Buffer.from(contentDigest(jobSpec(told))));
      }),
    );
  });
});
