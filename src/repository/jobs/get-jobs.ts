import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES, type EventDetail } from '../../domain/event.ts';
import { JOB_STATES, type Asked, type Job, type JobId, type JobState, type Micros } from '../../domain/job.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { expiryOf } from '../held-leases.ts';
import { jobOfX, jobRecordColumns, parseJobRecord, wholeJob } from '../job-record.ts';
import { bytesOrNull, failureOrNull, instant, int, int8, instantOrNull, text, textOrNull, type Row } from '../row.ts';
import { parseDetail } from '../detail.ts';
import { param, shard, statement } from '../statement.ts';
import { deferredState, parkedState } from '../tokens.ts';
import { position, positionFrom } from './position.ts';

/** The state that an end `t` tells. */
const terminalState = sql`case t.type when ${EVENT_CODES.succeeded} then 'SUCCEEDED' when ${EVENT_CODES.failed} then 'FAILED'
  when ${EVENT_CODES.cancelled} then 'CANCELLED' else 'ABANDONED' end`;

/** The place of an ended life: of those of the job the one that `which` chooses. */
function endedPlace(which: SQL): SQL {
  return sql`select ${terminalState} as state, t.life, t.attempt, t.fence, t.seq, p.rank, null::timestamptz as due_at, null::timestamptz as until,
           '' as holder, null::timestamptz as started_at, t.finished_at, t.result, t.result_content_type, t.failure as end_failure,
           t.detail as end_detail
      from (select * from stint.terminal t where t.shard = ${shard} and t.job = j.id ${which}) t`;
}

/**
 * Lateral `s`: every place the job lies in, one row each; exactly one in a sound database. In one statement, so all
 * tables are seen at one instant.
 */
export const places = sql`
  cross join lateral (
    select 'READY' as state, r.life, r.attempt, r.fence, r.seq, r.rank, null::timestamptz as due_at, null::timestamptz as until, '' as holder,
           null::timestamptz as started_at, null::timestamptz as finished_at, null::bytea as result, null::text as result_content_type,
           null::jsonb as end_failure, null::text as end_detail
      from stint.ready r where r.shard = ${shard} and r.queue_id = j.queue_id and r.rank = p.rank and r.ord = p.ord and r.job = j.id
    union all
    select case when l.started_at is null then 'LEASED' else 'RUNNING' end, l.life, l.attempt, l.fence, l.seq, l.rank, null, ${expiryOf(sql`l`)}, l.worker,
           l.started_at, null, null, null, null, null
      from stint.lease l where l.shard = ${shard} and l.job = j.id
    union all
    select ${deferredState}, d.life, d.attempt, d.fence, d.seq, d.rank, d.due_at, null, '', null, null, null, null, null, null
      from stint.deferred d where d.shard = ${shard} and d.job = j.id
    union all
    select ${parkedState}, k.life, k.attempt, k.fence, k.seq, k.rank, null, null, '', null, null, null, null, null, null
      from stint.parked k where k.shard = ${shard} and k.job = j.id
    union all
    ${endedPlace(sql`order by t.life desc limit 1`)}
     where t.life >= coalesce(p.event_life, 1)) s`;

/** Lateral `a`: the latest ended try of the job up to the life told, for what its holder left behind. */
const latestAttempt = sql`
  left join lateral (
    select a.worker, a.started_at, a.failure, a.life, a.reason from stint.attempt a
     where a.shard = ${shard} and a.job = j.id and a.life <= s.life order by a.fence desc limit 1) a on true
  left join lateral (
    select f.failure from stint.attempt f
     where f.shard = ${shard} and f.job = j.id and f.life = s.life and f.failure is not null order by f.fence desc limit 1) f on true`;

/** From `x(n, job)`: joins and columns of a whole job as `parseJob` reads it. */
export const wholeJobOfX = sql`${jobOfX} ${position} ${places} ${latestAttempt}`;
const jobColumns = (result: SQL) => sql`${jobRecordColumns}, s.state, s.life, s.attempt, s.fence, s.seq, s.due_at, s.until,
  case when s.holder <> '' then s.holder else coalesce(a.worker, '') end as worker,
  case when s.until is not null then s.started_at when a.life = s.life then a.started_at end as started_at, s.finished_at, ${result} as result, s.result_content_type,
  coalesce(s.end_failure, f.failure) as failure, s.rank as x_rank, s.end_detail, p.updated_run_at, p.cancel_life, p.cancel_at,
  p.cancel_detail, p.abandon_life, p.abandon_at, a.reason`;
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

const endOfLifeStatement = statement<'jobs' | 'life'>(
  'end-of-life',
  sql`select ${wholeJobColumns} from unnest(${param('jobs')}::uuid[]) as x(job) ${jobOfX} ${positionFrom(sql`e.life <= ${param('life')}::int`)}
    cross join lateral (${endedPlace(sql`and t.life = ${param('life')}::int`)}) s ${latestAttempt}`,
);

/** The job as it was when a life of it ended; null for a life that has not. */
export async function endOfLife(run: Run, jobId: JobId, life: number): Promise<Job | null> {
  const [row] = await run(endOfLifeStatement, { jobs: plainArray([jobId]), life });
  return row === undefined ? null : parseJob(row);
}

export function parseState(row: Row): JobState {
  const state = JOB_STATES.find((one) => one === row['state']);
  if (state === undefined) throw new Error('a job lies in an unknown state');
  return state;
}

export function parseJob(row: Row): Job {
  const record = parseJobRecord(row);
  const state = parseState(row);
  const life = int(row, 'life');
  return wholeJob(record, {
    state,
    priority: Number(-int8(row, 'x_rank')),
    life,
    attempt: int(row, 'attempt'),
    fence: int8(row, 'fence'),
    runAt: instantOrNull(row, 'due_at') ?? runAtOf(row, record.runAt),
    startedAt: instantOrNull(row, 'started_at'),
    finishedAt: instantOrNull(row, 'finished_at'),
    lastSequence: int(row, 'seq'),
    result: bytesOrNull(row, 'result'),
    resultContentType: textOrNull(row, 'result_content_type') ?? '',
    failure: state === 'SUCCEEDED' ? null : failureOrNull(row, 'failure'),
    workerId: text(row, 'worker'),
    leaseExpiresAt: instantOrNull(row, 'until'),
    asked: parseAsked(row, state, life),
  });
}

/** As it was enqueued, or as the last update says. */
function runAtOf(row: Row, enqueued: Micros | null): Micros | null {
  if (row['updated_run_at'] === null) return enqueued;
  const updated = int(row, 'updated_run_at');
  return updated === 0 ? null : updated;
}

function parseAsked(row: Row, state: JobState, life: number): Asked | null {
  const isOfLife = (column: string) => row[column] !== null && int(row, column) === life;
  const cancelAsked = isOfLife('cancel_life');
  const abandonAsked = isOfLife('abandon_life');
  if (!cancelAsked && !abandonAsked && state !== 'CANCELLED' && state !== 'SUSPENDED') return null;
  const request = cancelAsked ? parseDetail(EVENT_CODES.cancel_requested, text(row, 'cancel_detail')) : null;
  const end = state === 'CANCELLED' && row['end_detail'] !== null ? parseDetail(EVENT_CODES.cancelled, text(row, 'end_detail')) : null;
  return {
    cancelRequestedAt: cancelAsked ? instant(row, 'cancel_at') : end === null ? null : instant(row, 'finished_at'),
    cancelDeadline: request?.type === 'cancel_requested' ? request.cancelDeadline : null,
    cancelReason: reasonOf(request ?? end),
    abandonRequestedAt: abandonAsked ? instant(row, 'abandon_at') : null,
    suspendReason: state === 'SUSPENDED' ? (textOrNull(row, 'reason') ?? '') : '',
  };
}

function reasonOf(detail: EventDetail | null): string {
  return detail !== null && 'reason' in detail ? detail.reason : '';
}
