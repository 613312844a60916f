import { sql } from 'drizzle-orm';
import type { Refusal } from '../../domain/error.ts';
import { CUSTOM_CODE, type CustomDetail, type JobEvent } from '../../domain/event.ts';
import { isTerminal, type Job, type JobState } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { AppendItem, AppendOutcome } from '../../engine/ports/events.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import { byteaArray, plainArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Database, Run } from '../database.ts';
import { isDuplicateKey } from '../driver-error.ts';
import { live, placed, type Placed } from '../held-leases.ts';
import { jobsWithoutResults } from '../jobs/bulk.ts';
import { parseState } from '../jobs/get-jobs.ts';
import { invalid } from '../jobs/operate.ts';
import { position } from '../jobs/position.ts';
import { bytes, int, int8, instant, intOrNull, jobId, text, type Row } from '../row.ts';
import { sortedByRecord } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import { carried, deferredState, parkedState } from '../tokens.ts';

/** Looks at jobs that go on and yet were not found: each needs another writer in between. */
const MAX_ROUNDS = 8;

/** The last sequence that each token of `job` has been given here. Arrays, for what an update joins is read anew where the row has moved. */
const given = sql`(array(select seq from last order by job))[array_position(array(select job from last order by job), job)]`;

const ofLast = sql`job = any(array(select job from last))`;

/**
 * Append: the next sequences of a job, on its token, which stays where it is. Of a job that only its holder tells of, the lease alone is
 * looked for. READY tokens are put back where they lay, for rows of that table are never updated. Under one replay key the first item
 * that may append does: a worker that has lost its lease decides over nobody. A job with fewer events than it may have custom ones has
 * room for sure; of another only as many are taken as `rooms` says. An item whose job is not found in place, or whose replay key is
 * known, is left out: look again. One that may append, and for which there was no turn or no room, has no sequence.
 */
const appendStatement = statement<
  'now' | 'n' | 'namespaces' | 'jobs' | 'fences' | 'secrets' | 'types' | 'datas' | 'contentTypes' | 'replayKeys' | 'rooms'
>(
  'append-events',
  sql`with ${clock},
  i as materialized (
    select i.* from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[],
        ${param('secrets')}::uuid[], ${param('types')}::text[], ${param('datas')}::bytea[], ${param('contentTypes')}::text[],
        ${param('replayKeys')}::text[], ${param('rooms')}::int[])
        as i(n, namespace, job, of_fence, of_token, type, data, content_type, replay_key, room)
     where i.replay_key is null or not exists (
       select 1 from stint.custom_event e where e.shard = ${shard} and e.job = i.job and e.replay_key = i.replay_key)),
  asked as materialized (select job, namespace, bool_and(of_token is not null) as by_holder from i group by job, namespace order by job),
  here as materialized (
    select i.job, i.namespace, j.queue_id, p.rank, p.ord from asked i
      cross join lateral (select * from stint.job where shard = ${shard} and id = i.job and namespace = i.namespace offset 0) j ${position}
     where not i.by_holder),
  wr as materialized (
    select h.namespace, t.* from here h cross join lateral (
      select r.ctid as tid, r.* from stint.ready r
       where r.shard = ${shard} and r.queue_id = h.queue_id and r.rank = h.rank and r.ord = h.ord and r.job = h.job for update) t),
  wd as materialized (
    select h.namespace, d.* from here h cross join lateral (
      select d.* from stint.deferred d where d.shard = ${shard} and d.job = h.job for update) d),
  wk as materialized (
    select h.namespace, k.* from here h cross join lateral (
      select k.* from stint.parked k where k.shard = ${shard} and k.job = h.job for update) k),
  wl as materialized (
    select l.* from asked i cross join lateral (
      select l.* from stint.lease l where l.shard = ${shard} and l.job = i.job and l.namespace = i.namespace for update) l),
  w as materialized (
    select namespace, job, queue_id, life, attempt, fence, seq, 'READY' as state, '' as worker, null::uuid as token, false as live from wr
    union all
    select namespace, job, queue_id, life, attempt, fence, seq, ${deferredState}, '', null, false from wd d
    union all
    select namespace, job, queue_id, life, attempt, fence, seq, ${parkedState}, '', null, false from wk k
    union all
    select namespace, job, queue_id, life, attempt, fence, seq, case when started_at is null then 'LEASED' else 'RUNNING' end, worker, token, ${live}
      from wl l cross join c),
  v as materialized (
    select i.n, i.type, i.data, i.content_type, i.replay_key, i.room, w.job, w.queue_id, w.life, w.attempt, w.fence, w.state, w.worker,
        w.seq as told, row_number() over (partition by w.job, i.replay_key order by i.n) as turn
      from i join w on w.job = i.job and w.namespace = i.namespace
     where i.of_token is null or (w.token = i.of_token and w.fence = i.of_fence and w.live)
     order by i.n),
  s as materialized (
    select v.*, count(*) filter (where replay_key is null or turn = 1) over (partition by job order by n) as step from v),
  f as materialized (
    select s.*, case when (replay_key is null or turn = 1) and (told + step <= ${LIMITS.customEventsPerJob} or step <= room)
        then told + step end as seq from s),
  a as materialized (select * from f where seq is not null),
  last as materialized (select job, max(seq) as seq from a group by job),
  ul as (update stint.lease set seq = ${given} where shard = ${shard} and ${ofLast}),
  ud as (update stint.deferred set seq = ${given} where shard = ${shard} and ${ofLast}),
  uk as (update stint.parked set seq = ${given} where shard = ${shard} and ${ofLast}),
  gone as (delete from stint.ready where shard = ${shard} and ctid = any(array(select tid from wr where ${ofLast})) returning job),
  back as (
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried}, give_up_at, type)
    select ${shard}, queue_id, rank, ord, x.job, attempt, fence, life, last.seq, releases, ${carried}, give_up_at, ${sortedByRecord}
      from gone join wr x on x.job = gone.job join last on last.job = x.job),
  h as (
    insert into stint.custom_event (shard, job, seq, type, at, life, attempt, fence, state, worker, data, content_type, replay_key)
    select ${shard}, job, seq, type, c.now, life, attempt, fence, state, worker, data, content_type, replay_key from a cross join c),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details)
    select ${shard}, c.epoch, c.now, array_agg(${CUSTOM_CODE}), array_agg(job), array_agg(seq), array_agg(queue_id), array_agg(life),
        array_agg(attempt), array_agg(fence), array_agg(worker), array_agg(jsonb_build_object('y', type,
          'd', replace(encode(data, 'base64'), chr(10), ''), 'c', content_type, 's', state)::text)
      from (select * from a order by n) a cross join c group by c.epoch, c.now)
  select f.n, f.job, f.seq, f.life, f.attempt, f.fence, f.state, f.worker, q.name as queue, c.now as at from f cross join c
    cross join lateral (select name from stint.queue where shard = ${shard} and id = f.queue_id offset 0) q`,
);

/** The custom events of jobs, at most as many as a job may have. Exact only of jobs whose tokens this transaction has locked. */
const countStatement = statement<'jobs'>(
  'count-custom-events',
  sql`select i.job, t.count from unnest(${param('jobs')}::uuid[]) as i(job)
    cross join lateral (
      select count(*)::int as count from (
        select from stint.custom_event where shard = ${shard} and job = i.job limit ${LIMITS.customEventsPerJob}) e) t`,
);

/** The events that were appended under replay keys before. */
const replayedStatement = statement<'n' | 'namespaces' | 'jobs' | 'replayKeys'>(
  'replayed-events',
  sql`select i.n, e.*, q.name as queue
    from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('replayKeys')}::text[])
        as i(n, namespace, job, replay_key)
    cross join lateral (
      select * from stint.custom_event where shard = ${shard} and job = i.job and replay_key = i.replay_key offset 0) e
    cross join lateral (select * from stint.job where shard = ${shard} and id = i.job and namespace = i.namespace offset 0) j
    cross join lateral (select name from stint.queue where shard = ${shard} and id = j.queue_id offset 0) q`,
);

const OTHER_EVENT: Refusal = {
  kind: 'invalid_field',
  violations: [{ field: 'replay_key', description: 'was used for another event of this job' }],
};

/** One short transaction. Who meets a key that is just being used waits for that commit, is undone, and finds it then. */
export async function appendMany(
  database: Pick<Database, 'transaction'>,
  now: string | null,
  items: readonly AppendItem[],
): Promise<readonly AppendOutcome[]> {
  for (let round = 1; ; round += 1) {
    try {
      return await database.transaction((run) => appendAll(run, now, items));
    } catch (error) {
      if (!isDuplicateKey(error) || round === MAX_ROUNDS) throw error;
    }
  }
}

async function appendAll(run: Run, now: string | null, items: readonly AppendItem[]): Promise<readonly AppendOutcome[]> {
  const outcomes = new Map<number, AppendOutcome>();
  const settle = (some: Iterable<readonly [number, AppendOutcome]>) => {
    for (const [n, outcome] of some) outcomes.set(n, outcome);
    open = open.filter(({ position: n }) => !outcomes.has(n));
  };
  let open = placed(items);
  let rooms: ReadonlyMap<string, number> = new Map();
  for (let round = 0; open.length > 0; round += 1) {
    if (round === MAX_ROUNDS) throw new StoreError('conflict', 'a job moved on too often');
    const { appended, waiting } = await append(run, now, open, rooms);
    settle(appended);
    settle(await replayed(run, open));
    const held = open.filter(({ position: n }) => waiting.has(n));
    rooms = await roomsOf(run, held);
    const full = held.filter(({ item }) => rooms.get(item.jobId) === 0);
    settle(full.map(({ position: n, item }) => [n, { kind: 'refused', refusal: fullJob(item, waiting.get(n) ?? missing()) }]));
    settle(
      await refusals(
        run,
        open.filter(({ position: n }) => !waiting.has(n)),
      ),
    );
  }
  return items.map((_, n) => outcomes.get(n) ?? missing());
}

function missing(): never {
  throw new Error('an append has no outcome');
}

/** What was appended, and the state of the jobs of those that may append and did not, by position. */
interface Appended {
  readonly appended: ReadonlyMap<number, AppendOutcome>;
  readonly waiting: ReadonlyMap<number, JobState>;
}

async function append(
  run: Run,
  now: string | null,
  open: readonly Placed<AppendItem>[],
  rooms: ReadonlyMap<string, number>,
): Promise<Appended> {
  const rows = await run(appendStatement, {
    now,
    ...jobValues(open),
    fences: plainArray(open.map(({ item }) => item.token?.fence ?? null)),
    secrets: plainArray(open.map(({ item }) => item.token?.secret ?? null)),
    types: textArray(open.map(({ item }) => item.type)),
    datas: byteaArray(open.map(({ item }) => item.data)),
    contentTypes: textArray(open.map(({ item }) => item.contentType)),
    rooms: plainArray(open.map(({ item }) => rooms.get(item.jobId) ?? null)),
  });
  const byPosition = new Map(open.map(({ item, position }) => [position, item]));
  const appended = new Map<number, AppendOutcome>();
  const waiting = new Map<number, JobState>();
  for (const row of rows) {
    const n = int(row, 'n');
    if (intOrNull(row, 'seq') === null) waiting.set(n, parseState(row));
    else appended.set(n, { kind: 'appended', event: appendedEvent(byPosition.get(n) ?? missing(), row) });
  }
  return { appended, waiting };
}

/** How many custom events more each of the jobs may have. */
async function roomsOf(run: Run, held: readonly Placed<AppendItem>[]): Promise<ReadonlyMap<string, number>> {
  if (held.length === 0) return new Map();
  const rows = await run(countStatement, { jobs: plainArray([...new Set(held.map(({ item }) => item.jobId))]) });
  return new Map(rows.map((row) => [text(row, 'job'), LIMITS.customEventsPerJob - int(row, 'count')]));
}

function fullJob({ jobId: id }: AppendItem, state: JobState): Refusal {
  return { kind: 'invalid_transition', jobId: id, state, action: 'append_event', limit: LIMITS.customEventsPerJob };
}

async function replayed(run: Run, open: readonly Placed<AppendItem>[]): Promise<ReadonlyMap<number, AppendOutcome>> {
  const keyed = open.filter(({ item }) => item.replayKey !== null);
  if (keyed.length === 0) return new Map();
  const rows = await run(replayedStatement, jobValues(keyed));
  const found = new Map(rows.map((row) => [int(row, 'n'), row]));
  return new Map(
    keyed.flatMap(({ item, position: n }): [number, AppendOutcome][] => {
      const row = found.get(n);
      if (row === undefined) return [];
      return [[n, isSame(item, row) ? { kind: 'repeated', event: appendedEvent(item, row) } : { kind: 'refused', refusal: OTHER_EVENT }]];
    }),
  );
}

function isSame({ type, data, contentType }: AppendItem, row: Row): boolean {
  return type === text(row, 'type') && contentType === text(row, 'content_type') && Buffer.from(data).equals(bytes(row, 'data'));
}

/** Why those were not appended of which nobody moves the job. */
async function refusals(run: Run, open: readonly Placed<AppendItem>[]): Promise<ReadonlyMap<number, AppendOutcome>> {
  if (open.length === 0) return new Map();
  const ids = [...new Set(open.map(({ item }) => item.jobId))];
  const jobs = new Map((await jobsWithoutResults(run, ids)).map((job, index) => [ids[index], job]));
  return new Map(
    open.flatMap(({ item, position: n }): [number, AppendOutcome][] => {
      const refusal = refusalOf(jobs.get(item.jobId) ?? null, item);
      return refusal === null ? [] : [[n, { kind: 'refused', refusal }]];
    }),
  );
}

function refusalOf(job: Job | null, { namespace, jobId: id, token }: AppendItem): Refusal | null {
  if (job === null || job.namespace !== namespace) return { kind: 'job_not_found', jobId: id };
  if (token !== null) return { kind: 'lease_lost' };
  return isTerminal(job.state) ? invalid(job, 'append_event') : null;
}

function jobValues(items: readonly Placed<AppendItem>[]) {
  return {
    n: plainArray(items.map(({ position: n }) => n)),
    namespaces: textArray(items.map(({ item }) => item.namespace)),
    jobs: plainArray(items.map(({ item }) => item.jobId)),
    replayKeys: textArray(items.map(({ item }) => item.replayKey)),
  };
}

/** What was stored is what was asked, also where it was asked before. */
function appendedEvent({ namespace, type, data, contentType }: AppendItem, row: Row): JobEvent {
  const state = parseState(row);
  const detail: CustomDetail = { type: 'custom', customType: type, data, contentType, state };
  return {
    namespace,
    queue: text(row, 'queue'),
    jobId: jobId(row, 'job'),
    sequence: int(row, 'seq'),
    occurredAt: instant(row, 'at'),
    life: int(row, 'life'),
    attempt: int(row, 'attempt'),
    fence: int8(row, 'fence'),
    state,
    workerId: text(row, 'worker'),
    detail,
  };
}
