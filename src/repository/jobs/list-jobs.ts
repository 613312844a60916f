import { sql } from 'drizzle-orm';
import type { JobId } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { JobFilter, JobPage } from '../../engine/ports/repository.ts';
import { textArray } from '../array.ts';
import type { Run } from '../database.ts';
import { instantLiteral, int, jobId } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { parseJob, jobWithoutResultColumns, wholeJobOfX } from './get-jobs.ts';

/** Above every UUIDv7: where a listing of the newest begins. */
const BEYOND_EVERY_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/**
 * Newest first, by the primary key of `job` backwards; looks at a bounded number of records, so a narrow filter may give
 * a short page with more behind it. States are judged as each job is looked at.
 */
const listJobsStatement = statement<
  'after' | 'namespace' | 'queue' | 'type' | 'labels' | 'states' | 'createdFrom' | 'createdBefore' | 'limit'
>(
  'list-jobs',
  sql`with scanned as materialized (
      select id, namespace, queue_id, type, labels, created_at from stint.job where shard = ${shard} and id < ${param('after')}::uuid
       order by id desc limit ${LIMITS.scannedRows}),
    matching as materialized (
      select s.id as job from scanned s
       where s.namespace = ${param('namespace')}::text
         and (${param('type')}::text is null or s.type = ${param('type')}::text)
         and (${param('createdFrom')}::timestamptz is null or s.created_at >= ${param('createdFrom')}::timestamptz)
         and (${param('createdBefore')}::timestamptz is null or s.created_at < ${param('createdBefore')}::timestamptz)
         and (${param('labels')}::text is null or s.labels @> ${param('labels')}::text::jsonb)
         and (${param('queue')}::text is null or s.queue_id = (
           select id from stint.queue where shard = ${shard} and namespace = ${param('namespace')}::text and name = ${param('queue')}::text))
       order by s.id desc),
    page as (
      select ${jobWithoutResultColumns} from matching x ${wholeJobOfX}
       where ${param('states')}::text[] is null or s.state = any(${param('states')}::text[])
       order by x.job desc
       limit ${param('limit')}::int)
    select page.*, t.last, t.scanned from (
      select (select id from scanned order by id limit 1) as last, (select count(*)::int from scanned) as scanned) t
      left join page on true
     order by page.job_id desc`,
);

export async function listJobs(run: Run, filter: JobFilter, pageSize: number, after: JobId | null): Promise<JobPage> {
  const rows = await run(listJobsStatement, {
    after: after ?? BEYOND_EVERY_ID,
    namespace: filter.namespace,
    queue: filter.queue,
    type: filter.type,
    labels: Object.keys(filter.labels).length === 0 ? null : JSON.stringify(filter.labels),
    states: filter.states.length === 0 ? null : textArray(filter.states),
    createdFrom: filter.createdFrom === null ? null : instantLiteral(filter.createdFrom),
    createdBefore: filter.createdBefore === null ? null : instantLiteral(filter.createdBefore),
    limit: pageSize,
  });
  const jobs = rows.filter((row) => row['job_id'] !== null).map(parseJob);
  const [first] = rows;
  const scannedAll = first === undefined || int(first, 'scanned') < LIMITS.scannedRows;
  if (jobs.length === pageSize) return { jobs, nextAfter: jobs.at(-1)?.jobId ?? null };
  return { jobs, nextAfter: scannedAll ? null : jobId(first, 'last') };
}
