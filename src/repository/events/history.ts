/**
 * The events of one job, derived from its rows: record, tries, lease, what only `job_event` tells. Field for field what
 * the journal told; a test holds the two equal.
 */
import { sql } from 'drizzle-orm';
import { EVENT_CODES, stateAfter, type JobEvent } from '../../domain/event.ts';
import type { Holding } from '../../domain/history.ts';
import type { JobId } from '../../domain/job.ts';
import type { History } from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { jobOfX } from '../job-record.ts';
import { parseDetail } from '../detail.ts';
import { endedDetail } from '../ended-try.ts';
import { parseState, places } from '../jobs/get-jobs.ts';
import { position } from '../jobs/position.ts';
import { int, int8, instant, jobId, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** Every event of job `x.job` with a sequence above `x.after`, in no order. `detail` as in the journal. */
const facts = sql`
  select 1::bigint as seq, ${EVENT_CODES.enqueued}::smallint as type, j.created_at as at, 1 as life, 0 as attempt, 0::bigint as fence, '' as worker,
         jsonb_strip_nulls(jsonb_build_object('t', nullif(j.type, ''), 'p', -j.rank,
           'r', case when j.ord is null then (extract(epoch from j.run_at) * 1000000)::bigint end,
           'b', case when j.concurrency_key is not null and j.ord is not null then true end))::text as detail
  union all
  select e.seq, e.type, e.at, e.life, e.attempt, e.fence, coalesce(e.worker, ''), e.detail
    from stint.job_event e where e.shard = ${shard} and e.job = x.job and e.seq > x.after
  union all
  select t.seq, t.type, t.finished_at, t.life, t.attempt, t.fence, '', t.detail
    from stint.terminal t where t.shard = ${shard} and t.job = x.job and t.detail is not null
  union all
  select t.seq, t.type, t.at, a.life, t.attempt, a.fence, a.worker, t.detail
    from (select a.* from stint.attempt a where a.shard = ${shard} and a.job = x.job and a.ended_seq > x.after) a
    cross join lateral (values
      (a.claimed_seq, ${EVENT_CODES.claimed}::smallint, a.claimed_at, a.attempt, null::text),
      (a.started_seq, ${EVENT_CODES.started}::smallint, a.started_at, a.attempt, null),
      (a.ended_seq, a.ended_type, a.ended_at, case when a.refunded then a.attempt - 1 else a.attempt end, (${endedDetail(sql`a`, sql`j.concurrency_key is not null`)})::text)
    ) t(seq, type, at, attempt, detail) where t.seq is not null
  union all
  select t.seq, t.type, t.at, l.life, l.attempt, l.fence, l.worker, null
    from (select l.* from stint.lease l where l.shard = ${shard} and l.job = x.job) l
    cross join lateral (values
      (l.claimed_seq, ${EVENT_CODES.claimed}::smallint, l.claimed_at),
      (l.started_seq, ${EVENT_CODES.started}::smallint, l.started_at)
    ) t(seq, type, at) where t.seq is not null`;

const historyStatement = statement<'n' | 'jobs' | 'after' | 'limit'>(
  'history',
  sql`select x.n, j.id as job_id, j.namespace, q.name as queue,
      coalesce(j.max_attempts, q.max_attempts) as max_attempts, g.places, f.*
    from (select t.n, t.job, ${param('after')}::bigint as after from unnest(${param('n')}::int[], ${param('jobs')}::uuid[]) as t(n, job)) x
    ${jobOfX} ${position}
    cross join lateral (
      select coalesce(jsonb_agg(jsonb_build_object('state', s.state, 'life', s.life, 'attempt', s.attempt,
          'fence', s.fence::text, 'sequence', s.seq)), '[]') as places
        from (select 1) one ${places}) g
    left join lateral (
      select h.* from (${facts}) h where h.seq > x.after order by h.seq limit ${param('limit')}::int) f on true
   order by x.n, f.seq`,
);

/** A job's events after a sequence, with every place its rows lie in, all seen at one instant. */
export interface JobFacts extends History {
  readonly jobId: JobId;
  readonly maxAttempts: number;
  readonly holdings: readonly Holding[];
}

/** Positional; null for an id nobody enqueued. */
export async function jobFacts(run: Run, ids: readonly JobId[], after: number, limit: number): Promise<readonly (JobFacts | null)[]> {
  const rows = await run(historyStatement, {
    n: plainArray(ids.map((_, index) => index)),
    jobs: plainArray(ids),
    after,
    limit,
  });
  const byJob: Row[][] = ids.map(() => []);
  for (const row of rows) byJob[int(row, 'n')]?.push(row);
  return byJob.map(parseFacts);
}

function parseFacts(rows: readonly Row[]): JobFacts | null {
  const [first] = rows;
  if (first === undefined) return null;
  const holdings = parseHoldings(first['places']);
  return {
    jobId: jobId(first, 'job_id'),
    namespace: text(first, 'namespace'),
    maxAttempts: int(first, 'max_attempts'),
    holdings,
    latestSequence: Math.max(0, ...holdings.map((holding) => holding.sequence)),
    events: rows.filter((row) => row['seq'] !== null).map(parseEvent),
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

function parseEvent(row: Row): JobEvent {
  const detail = parseDetail(int(row, 'type'), textOrNull(row, 'detail'));
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
