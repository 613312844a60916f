/** What `VerifyReplay` compares: of each job its events and every place its rows lie in, seen at one instant. */
import { sql, type SQL } from 'drizzle-orm';
import type { JobId } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Queue } from '../../domain/queue.ts';
import type { Standing } from '../../domain/replay.ts';
import type { RetainedJobs, Verification } from '../../engine/ports/verification.ts';
import { plainArray } from '../array.ts';
import { epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { facts, parseEvent } from '../events/history.ts';
import { jobOfX } from '../job-record.ts';
import { parseState, places } from '../jobs/get-jobs.ts';
import { position } from '../jobs/position.ts';
import { bool, int, int8, jobId, plainItems, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

/** By primary key, as a listing looks. */
const retainedJobsStatement = statement<'queueId' | 'epochs' | 'after' | 'limit'>(
  'retained-jobs',
  sql`with scanned as materialized (
      select id, queue_id from stint.job where shard = ${shard} and id > ${param('after')}::uuid
          and stint.expect_epoch(${shard}, ${param('epochs')}::int[]) is not null
       order by id limit ${LIMITS.scannedRows})
    select ((array_agg(id order by id) filter (where queue_id = ${param('queueId')}::int))[1:${param('limit')}::int])::text as ids,
        count(*)::int as scanned, (select id from scanned order by id desc limit 1) as last
      from scanned`,
);

export async function retainedJobs(run: Run, queue: Queue, limit: number, after: JobId | null): Promise<RetainedJobs> {
  const values = { queueId: queue.id, epochs: epochsOf([queue]), after: after ?? LOWEST_ID, limit };
  const [row] = await run(retainedJobsStatement, values);
  if (row === undefined || row['last'] === null) return { ids: [], nextAfter: null };
  const ids = (plainItems(row, 'ids') ?? []).map((id) => jobId({ id }, 'id'));
  if (ids.length === limit) return { ids, nextAfter: ids.at(-1) ?? null };
  return { ids, nextAfter: int(row, 'scanned') < LIMITS.scannedRows ? null : jobId(row, 'last') };
}

const microseconds = (at: SQL) => sql`(extract(epoch from ${at}) * 1000000)::bigint`;

/** Without what a failure or an evidence carries, which is compared with nothing and may be 64 KiB an event. */
const leanDetail = sql`(f.detail::jsonb #- '{f,details}' #- '{f,message}' #- '{e,d}')::text`;

const replayedJobsStatement = statement<'n' | 'jobs' | 'limit' | 'codes' | 'names'>(
  'replayed-jobs',
  sql`select x.n, j.id as job_id, j.namespace, q.name as queue, g.places, f.seq, f.type, f.at, f.life, f.attempt, f.fence, f.worker,
      ${leanDetail} as detail, null::bytea as data
    from (select t.n, t.job, 0::bigint as after from unnest(${param('n')}::int[], ${param('jobs')}::uuid[]) as t(n, job)) x
    ${jobOfX} ${position}
    cross join lateral (
      select coalesce(jsonb_agg(jsonb_build_object('state', s.state, 'life', s.life, 'attempt', s.attempt, 'fence', s.fence::text,
          'sequence', s.seq, 'rank', s.rank::text, 'due_at', ${microseconds(sql`s.due_at`)}, 'finished_at', ${microseconds(sql`s.finished_at`)},
          'cancel_deadline', case when s.until is not null then (
            select ${microseconds(sql`l.cancel_deadline`)} from stint.lease l where l.shard = ${shard} and l.job = j.id) end,
          'failure', s.end_failure ->> 'code', 'has_result', s.result is not null)), '[]') as places
        from (select 1) one ${places}) g
    left join lateral (${facts({ after: sql`x.after`, order: sql`asc`, limit: sql`${param('limit')}::int` })}) f on true
   order by x.n, f.seq`,
);

export const replayedJobs = async (run: Run, ids: readonly JobId[], limit: number): ReturnType<Verification['replayedJobs']> => {
  const rows = await run(replayedJobsStatement, {
    n: plainArray(ids.map((_, index) => index)),
    jobs: plainArray(ids),
    limit,
    codes: null,
    names: null,
  });
  const byJob: Row[][] = ids.map(() => []);
  for (const row of rows) byJob[int(row, 'n')]?.push(row);
  return byJob.map(([first, ...rest]) => {
    if (first === undefined) return null;
    return {
      namespace: text(first, 'namespace'),
      jobId: jobId(first, 'job_id'),
      places: parsePlaces(first['places']),
      events: [first, ...rest].filter((row) => row['seq'] !== null).map(parseEvent),
    };
  });
};

function parsePlaces(value: unknown): readonly Standing[] {
  if (!Array.isArray(value)) throw new Error('places is not a list');
  return value.map((place: Row) => ({
    state: parseState(place),
    life: int(place, 'life'),
    attempt: int(place, 'attempt'),
    fence: int8(place, 'fence'),
    sequence: int(place, 'sequence'),
    priority: Number(-int8(place, 'rank')),
    dueAt: intOrNull(place, 'due_at'),
    cancelDeadline: intOrNull(place, 'cancel_deadline'),
    finishedAt: intOrNull(place, 'finished_at'),
    failure: textOrNull(place, 'failure'),
    hasResult: bool(place, 'has_result'),
  }));
}

function intOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : int(row, column);
}
