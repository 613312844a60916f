import { sql } from 'drizzle-orm';
import type { JobId } from '../../domain/job.ts';
import type { AttemptPage } from '../../engine/ports/repository.ts';
import { endedAttemptColumns, heldAttemptColumns, parseAttempt } from '../attempt-row.ts';
import type { Run } from '../database.ts';
import { param, shard, statement } from '../statement.ts';

/**
 * The tries of a job by fence, by primary key; the one in flight comes from its lease. In one statement: a try that ends meanwhile is
 * told once, as the one or the other.
 */
const listAttemptsStatement = statement<'namespace' | 'job' | 'after' | 'limit'>(
  'list-attempts',
  sql`select a.* from stint.job j
    left join lateral (
      select * from (
        select * from (
          select ${endedAttemptColumns} from stint.attempt a
           where a.shard = ${shard} and a.job = j.id and a.fence > ${param('after')}::bigint order by a.fence limit ${param('limit')}::int) e
        union all
        select ${heldAttemptColumns} from stint.lease l where l.shard = ${shard} and l.job = j.id and l.fence > ${param('after')}::bigint) t
       order by t.fence limit ${param('limit')}::int) a on true
   where j.shard = ${shard} and j.id = ${param('job')}::uuid and j.namespace = ${param('namespace')}::text
   order by a.fence`,
);

/** Null for a job that this namespace does not have. */
export async function listAttempts(
  run: Run,
  query: { readonly namespace: string; readonly jobId: JobId; readonly pageSize: number; readonly after: bigint },
): Promise<AttemptPage | null> {
  const { namespace, jobId, pageSize, after } = query;
  const rows = await run(listAttemptsStatement, { namespace, job: jobId, after: String(after), limit: pageSize });
  if (rows.length === 0) return null;
  const attempts = rows.filter((row) => row['fence'] !== null).map(parseAttempt);
  return { attempts, nextAfter: attempts.length === pageSize ? (attempts.at(-1)?.fence ?? null) : null };
}
