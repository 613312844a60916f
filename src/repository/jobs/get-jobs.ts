import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { Job, JobId, JobState } from '../../domain/job.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { jobOfX, jobRecordColumns, parseJobRecord, wholeJob } from '../job-record.ts';
import { bytesOrNull, failureOrNull, int, int8, instantOrNull, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/**
 * Lateral `p`: the position of a READY job, from its record or from the last event that gave it another. It lets a job
 * be found in `ready` by that table's only index.
 */
export const position = sql`
  cross join lateral (
    select v.rank, v.ord from (
      select e.rank, e.ord, e.seq from stint.job_event e where e.shard = ${shard} and e.job = j.id and e.ord is not null
      union all select j.rank, j.ord, 0 where j.ord is not null
      union all select j.rank, -1, -1
    ) v order by v.seq desc limit 1) p`;

/**
 * Lateral `s`: every place the job lies in, one row each; exactly one in a sound database. In one statement, so all
 * tables are seen at one instant.
 */
export const places = sql`
  cross join lateral (
    select 'READY' as state, r.life, r.attempt, r.fence, r.seq, null::timestamptz as due_at, null::timestamptz as until, '' as holder,
           null::timestamptz as started_at, null::timestamptz as finished_at, null::bytea as result, null::text as result_content_type, null::jsonb as end_failure
      from stint.ready r where r.shard = ${shard} and r.queue_id = j.queue_id and r.rank = p.rank and r.ord = p.ord and r.job = j.id
    union all
    select case when l.started_at is null then 'LEASED' else 'RUNNING' end, l.life, l.attempt, l.fence, l.seq, null, l.until, l.worker,
           l.started_at, null, null, null, null
      from stint.lease l where l.shard = ${shard} and l.job = j.id
    union all
    select case d.kind when 1 then 'SCHEDULED' else 'RETRY_WAIT' end, d.life, d.attempt, d.fence, d.seq, d.due_at, null, '', null, null, null, null, null
      from stint.deferred d where d.shard = ${shard} and d.job = j.id
    union all
    select case t.type when ${EVENT_CODES.succeeded} then 'SUCCEEDED' else 'FAILED' end, t.life, t.attempt, t.fence, t.seq, null, null, '', null,
           t.finished_at, t.result, t.result_content_type, t.failure
      from (select * from stint.terminal t where t.shard = ${shard} and t.job = j.id order by t.life desc limit 1) t) s`;

/** Lateral `a`: the latest ended try of the job, for what its holder left behind. */
const latestAttempt = sql`
  left join lateral (
    select a.worker, a.started_at, a.failure, a.life from stint.attempt a
     where a.shard = ${shard} and a.job = j.id order by a.fence desc limit 1) a on true
  left join lateral (
    select f.failure from stint.attempt f
     where f.shard = ${shard} and f.job = j.id and f.life = s.life and f.failure is not null order by f.fence desc limit 1) f on true`;

/** From `x(n, job)`: joins and columns of a whole job as `parseJob` reads it. */
export const wholeJobOfX = sql`${jobOfX} ${position} ${places} ${latestAttempt}`;
const jobColumns = (result: SQL) => sql`${jobRecordColumns}, s.state, s.life, s.attempt, s.fence, s.seq, s.due_at, s.until,
  case when s.holder <> '' then s.holder else coalesce(a.worker, '') end as worker,
  case when s.until is null then a.started_at else s.started_at end as started_at, s.finished_at, ${result} as result, s.result_content_type,
  coalesce(s.end_failure, f.failure) as failure`;
export const wholeJobColumns = jobColumns(sql`s.result`);
/** For listings: a page of results would be a gigabyte. */
export const jobWithoutResultColumns = jobColumns(sql`null::bytea`);

const getJobsStatement = statement<'n' | 'jobs'>(
  'get-jobs',
  sql`select x.n, ${wholeJobColumns}
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[]) as x(n, job) ${wholeJobOfX}`,
);

/** Positional; null for an id nobody enqueued. */
export async function getJobs(run: Run, ids: readonly JobId[]): Promise<readonly (Job | null)[]> {
  const rows = await run(getJobsStatement, { n: plainArray(ids.map((_, index) => index)), jobs: plainArray(ids) });
  const jobs: (Job | null)[] = ids.map(() => null);
  for (const row of rows) jobs[int(row, 'n')] = parseJob(row);
  return jobs;
}

const STATES = new Map<string, JobState>(
  (['READY', 'LEASED', 'RUNNING', 'SCHEDULED', 'RETRY_WAIT', 'SUCCEEDED', 'FAILED'] as const).map((state) => [state, state]),
);

export function parseState(row: Row): JobState {
  const state = STATES.get(text(row, 'state'));
  if (state === undefined) throw new Error('a job lies in an unknown state');
  return state;
}

export function parseJob(row: Row): Job {
  const record = parseJobRecord(row);
  const state = parseState(row);
  return wholeJob(record, {
    state,
    life: int(row, 'life'),
    attempt: int(row, 'attempt'),
    fence: int8(row, 'fence'),
    runAt: instantOrNull(row, 'due_at') ?? record.runAt,
    startedAt: instantOrNull(row, 'started_at'),
    finishedAt: instantOrNull(row, 'finished_at'),
    lastSequence: int(row, 'seq'),
    result: bytesOrNull(row, 'result'),
    resultContentType: textOrNull(row, 'result_content_type') ?? '',
    failure: state === 'SUCCEEDED' ? null : failureOrNull(row, 'failure'),
    workerId: text(row, 'worker'),
    leaseExpiresAt: instantOrNull(row, 'until'),
  });
}
