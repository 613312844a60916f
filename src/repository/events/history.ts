/**
 * The events of one job, derived from its rows: record, tries, lease, what only `job_event` tells. Field for field what
 * the journal told; a test holds the two equal.
 */
import { sql, type SQL } from 'drizzle-orm';
import { CUSTOM_CODE, EVENT_CODES, stateAfter, type BuiltInEventType, type EventDetail, type JobEvent } from '../../domain/event.ts';
import type { Holding } from '../../domain/history.ts';
import type { JobId } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { History, HistoryQuery, WantedEvents } from '../../engine/ports/events.ts';
import { plainArray, textArray } from '../array.ts';
import type { Run } from '../database.ts';
import { jobOfX } from '../job-record.ts';
import { parseDetail } from '../detail.ts';
import { endedDetail } from '../ended-try.ts';
import { parseState, places } from '../jobs/get-jobs.ts';
import { position } from '../jobs/position.ts';
import { bool, bytes, int, int8, instant, jobId, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** Of which end of a history events are taken, and how many at most. */
interface Stretch {
  readonly after: SQL;
  readonly order: SQL;
  readonly limit: SQL;
}

/**
 * The wanted events of job `x.job` in a stretch. `detail` as in the journal, but that `data` of a custom one stands beside it. Custom
 * events are looked at only where names are wanted: a job may have very many of them.
 */
export const facts = ({ after, order, limit }: Stretch) => sql`select f.* from (
  select 1::bigint as seq, ${EVENT_CODES.enqueued}::smallint as type, j.created_at as at, 1 as life, 0 as attempt, 0::bigint as fence, '' as worker,
         jsonb_strip_nulls(jsonb_build_object('t', nullif(j.type, ''), 'p', -j.rank,
           'r', case when j.ord is null then (extract(epoch from j.run_at) * 1000000)::bigint end,
           'b', case when j.concurrency_key is not null and j.ord is not null then true end))::text as detail, null::bytea as data
  union all
  select e.seq, e.type, e.at, e.life, e.attempt, e.fence, coalesce(e.worker, ''), e.detail, null
    from stint.job_event e where e.shard = ${shard} and e.job = x.job and e.seq > ${after}
  union all
  select e.seq, ${CUSTOM_CODE}::smallint, e.at, e.life, e.attempt, e.fence, e.worker,
         jsonb_build_object('y', e.type, 'c', e.content_type, 's', e.state)::text, e.data
    from (
      select * from stint.custom_event where shard = ${shard} and job = x.job and seq > ${after}
         and (${param('names')}::text[] is null or cardinality(${param('names')}::text[]) > 0)
         and (${param('names')}::text[] is null or type = any(${param('names')}::text[]))
       order by seq ${order} limit ${limit}) e
  union all
  select t.seq, t.type, t.finished_at, t.life, t.attempt, t.fence, '', t.detail, null
    from stint.terminal t where t.shard = ${shard} and t.job = x.job and t.detail is not null
  union all
  select t.seq, t.type, t.at, a.life, t.attempt, a.fence, a.worker, t.detail, null
    from (select a.* from stint.attempt a where a.shard = ${shard} and a.job = x.job and a.ended_seq > ${after}) a
    cross join lateral (values
      (a.claimed_seq, ${EVENT_CODES.claimed}::smallint, a.claimed_at, a.attempt, null::text),
      (a.started_seq, ${EVENT_CODES.started}::smallint, a.started_at, a.attempt, null),
      (a.ended_seq, a.ended_type, a.ended_at, case when a.refunded then a.attempt - 1 else a.attempt end, (${endedDetail(sql`a`, sql`j.concurrency_key is not null`)})::text)
    ) t(seq, type, at, attempt, detail) where t.seq is not null
  union all
  select t.seq, t.type, t.at, l.life, l.attempt, l.fence, l.worker, null, null
    from (select l.* from stint.lease l where l.shard = ${shard} and l.job = x.job) l
    cross join lateral (values
      (l.claimed_seq, ${EVENT_CODES.claimed}::smallint, l.claimed_at),
      (l.started_seq, ${EVENT_CODES.started}::smallint, l.started_at)
    ) t(seq, type, at) where t.seq is not null) f
  where f.seq > ${after} and (${param('codes')}::smallint[] is null or f.type = any(${param('codes')}::smallint[]))
  order by f.seq ${order} limit ${limit}`;

const asked = sql`unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('after')}::bigint[]) as t(n, job, after)`;

type HistoryParam = 'n' | 'jobs' | 'after' | 'limit' | 'codes' | 'names' | 'bare';

/** Cut before the data of custom events is more than a response takes. */
const historyFrom = <More extends string>(title: string, source: SQL) =>
  statement<HistoryParam | More>(
    title,
    sql`select x.n, j.id as job_id, j.namespace, q.name as queue,
      coalesce(j.max_attempts, q.max_attempts) as max_attempts, g.places, f.seq, f.type, f.at, f.life, f.attempt, f.fence, f.worker, f.detail,
      f.bytes_before >= ${LIMITS.responseBytes} as is_cut,
      case when f.bytes_before < ${LIMITS.responseBytes} and not ${param('bare')}::boolean then f.data end as data
    from (${source}) x
    ${jobOfX} ${position}
    cross join lateral (
      select coalesce(jsonb_agg(jsonb_build_object('state', s.state, 'life', s.life, 'attempt', s.attempt,
          'fence', s.fence::text, 'sequence', s.seq)), '[]') as places
        from (select 1) one ${places}) g
    left join lateral (
      select h.*, case when ${param('bare')}::boolean then 0 else coalesce(sum(octet_length(h.data)) over (
          order by h.seq rows between unbounded preceding and 1 preceding), 0) end as bytes_before
        from (${facts({ after: sql`x.after`, order: sql`asc`, limit: sql`${param('limit')}::int` })}) h) f on true
   order by x.n, f.seq`,
  );

const historyStatement = historyFrom('history', sql`select t.n, t.job, t.after from ${asked}`);

/** From where on there are as many as are wanted. */
const recentStatement = historyFrom<'recent'>(
  'recent-history',
  sql`select x.n, x.job, greatest(x.after, o.seq - 1) as after from (select t.n, t.job, t.after from ${asked}) x ${jobOfX}
    left join lateral (
      select min(h.seq) as seq from (
        ${facts({ after: sql`x.after`, order: sql`desc`, limit: sql`${param('recent')}::int` })}) h) o on true`,
);

/** A job's events after a sequence, with every place its rows lie in, all seen at one instant. */
export interface JobFacts extends History {
  readonly jobId: JobId;
  readonly maxAttempts: number;
  readonly holdings: readonly Holding[];
}

interface WantedFacts extends WantedEvents {
  /** Without the data of custom events: for whoever folds a long history. */
  readonly bare?: boolean;
}

/** Positional, of each at most `limit` events; null for an id nobody enqueued. */
export async function jobFacts(
  run: Run,
  asked: readonly HistoryQuery[],
  limit: number,
  { types, recent, bare = false }: WantedFacts = {},
): Promise<readonly (JobFacts | null)[]> {
  const values = {
    n: plainArray(asked.map((_, index) => index)),
    jobs: plainArray(asked.map(({ jobId }) => jobId)),
    after: plainArray(asked.map(({ after }) => after)),
    limit,
    codes: types === undefined ? null : plainArray(codesOf(types)),
    names: types === undefined ? null : textArray(types.filter((type) => !isBuiltIn(type))),
    bare,
  };
  const rows = await (recent === undefined ? run(historyStatement, values) : run(recentStatement, { ...values, recent }));
  const byJob: Row[][] = asked.map(() => []);
  for (const row of rows) byJob[int(row, 'n')]?.push(row);
  return byJob.map(parseFacts);
}

/** Of the built-in ones among the types, and of all custom ones: those are told apart by their names. */
function codesOf(types: readonly string[]): readonly number[] {
  return [...types.flatMap((type) => (isBuiltIn(type) ? [EVENT_CODES[type]] : [])), CUSTOM_CODE];
}

function isBuiltIn(type: string): type is BuiltInEventType {
  return Object.hasOwn(EVENT_CODES, type);
}

function parseFacts(rows: readonly Row[]): JobFacts | null {
  const [first] = rows;
  if (first === undefined) return null;
  const holdings = parseHoldings(first['places']);
  const told = rows.filter((row) => row['seq'] !== null);
  const isCut = told.some((row) => bool(row, 'is_cut'));
  return {
    jobId: jobId(first, 'job_id'),
    namespace: text(first, 'namespace'),
    maxAttempts: int(first, 'max_attempts'),
    holdings,
    latestSequence: Math.max(0, ...holdings.map((holding) => holding.sequence)),
    events: told.filter((row) => !bool(row, 'is_cut')).map(parseEvent),
    ...(isCut ? { isCut } : {}),
  };
}

function parseHoldings(value: unknown): readonly Holding[] {
  if (!Array.isArray(value)) throw new Error('places is not a list');
  return value.map((place: Row) => ({
    state: parseState(place),
    life: int(place, 'life'),
    attempt: int(place, 'attempt'),
    fence: int8(place, 'fence'),
    sequence: int(place, 'sequence'),
  }));
}

export function parseEvent(row: Row): JobEvent {
  const detail = withData(parseDetail(int(row, 'type'), textOrNull(row, 'detail')), row);
  return {
    namespace: text(row, 'namespace'),
    queue: text(row, 'queue'),
    jobId: jobId(row, 'job_id'),
    sequence: int(row, 'seq'),
    occurredAt: instant(row, 'at'),
    life: int(row, 'life'),
    attempt: int(row, 'attempt'),
    fence: int8(row, 'fence'),
    state: stateAfter(detail),
    workerId: text(row, 'worker'),
    detail,
  };
}

function withData(detail: EventDetail, row: Row): EventDetail {
  return detail.type === 'custom' && row['data'] !== null ? { ...detail, data: bytes(row, 'data') } : detail;
}
