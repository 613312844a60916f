/**
 * The events of one job, derived from its rows: record, tries, lease, what only `job_event` tells. Field for field what
 * the journal told; a test holds the two equal.
 */
import { sql } from 'drizzle-orm';
import { EVENT_CODES, stateAfter, type EventDetail, type JobEvent } from '../../domain/event.ts';
import type { Holding } from '../../domain/history.ts';
import type { JobId } from '../../domain/job.ts';
import type { History } from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { jobOfX } from '../job-record.ts';
import { parseState, places, position } from '../jobs/get-jobs.ts';
import { bool, int, int8, instant, instantOrNull, jobId, parseFailure, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** Every event of job `x.job` with a sequence above `x.after`, in no order. */
const facts = sql`
  select 1::bigint as seq, ${EVENT_CODES.enqueued} as type, j.created_at as at, 1 as life, 0 as attempt, 0::bigint as fence, '' as worker,
         case when j.ord is null then j.run_at end as due_at, null::jsonb as failure, false as dead_lettered
  union all
  select e.seq, e.type, e.at, e.life, e.attempt, e.fence, '', null, null, false
    from stint.job_event e where e.shard = ${shard} and e.job = x.job and e.seq > x.after
  union all
  select t.seq, t.type, t.at, a.life, t.attempt, t.fence, a.worker, t.due_at, t.failure, a.dead_lettered
    from (select a.* from stint.attempt a where a.shard = ${shard} and a.job = x.job and a.ended_seq > x.after) a
    cross join lateral (values
      (a.claimed_seq, ${EVENT_CODES.claimed}::smallint, a.claimed_at, a.attempt, a.fence, null::timestamptz, null::jsonb),
      (a.started_seq, ${EVENT_CODES.started}::smallint, a.started_at, a.attempt, a.fence, null, null),
      (a.ended_seq, a.ended_type, a.ended_at, case when a.refunded then a.attempt - 1 else a.attempt end, a.fence, a.due_at, a.failure)
    ) t(seq, type, at, attempt, fence, due_at, failure) where t.seq is not null
  union all
  select t.seq, t.type, t.at, l.life, l.attempt, l.fence, l.worker, null, null, false
    from (select l.* from stint.lease l where l.shard = ${shard} and l.job = x.job) l
    cross join lateral (values
      (l.claimed_seq, ${EVENT_CODES.claimed}::smallint, l.claimed_at),
      (l.started_seq, ${EVENT_CODES.started}::smallint, l.started_at)
    ) t(seq, type, at) where t.seq is not null`;

const historyStatement = statement<'n' | 'jobs' | 'after' | 'limit'>(
  'history',
  sql`select x.n, j.id as job_id, j.namespace, q.name as queue, j.type as job_type, j.rank,
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
  const detail = parseDetail(row);
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

function parseDetail(row: Row): EventDetail {
  const code = int(row, 'type');
  const dueAt = instantOrNull(row, 'due_at');
  switch (code) {
    case EVENT_CODES.enqueued:
      return { type: 'enqueued', jobType: text(row, 'job_type'), priority: Number(-int8(row, 'rank')), runAt: dueAt };
    case EVENT_CODES.ready:
      return { type: 'ready' };
    case EVENT_CODES.claimed:
      return { type: 'claimed' };
    case EVENT_CODES.started:
      return { type: 'started' };
    case EVENT_CODES.released:
      return { type: 'released', runAt: dueAt };
    case EVENT_CODES.retry_scheduled:
      return { type: 'retry_scheduled', failure: parseFailure(row['failure']), retryAt: dueAt ?? 0, nextAttempt: int(row, 'attempt') + 1 };
    case EVENT_CODES.succeeded:
      return { type: 'succeeded' };
    case EVENT_CODES.failed:
      return { type: 'failed', failure: parseFailure(row['failure']), deadLettered: bool(row, 'dead_lettered') };
    default:
      throw new Error(`a job has an event of code ${code}, unknown to this version`);
  }
}
