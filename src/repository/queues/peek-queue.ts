import { sql } from 'drizzle-orm';
import type { Job } from '../../domain/job.ts';
import type { Queue } from '../../domain/queue.ts';
import { LIMITS } from '../../domain/limits.ts';
import { textArray } from '../array.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { parseJob, wholeJobColumns, wholeJobOfX } from '../jobs/get-jobs.ts';
import { isOfType, SORTED } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import { inTime } from '../tokens.ts';

/** The head of the backlog in dispatch order, by the primary key of `ready`; nothing is locked, nothing is claimed. */
const peekQueueStatement = statement<'now' | 'queueId' | 'epochs' | 'limit'>(
  'peek-queue',
  sql`with ${clockOfQueues}
  select ${wholeJobColumns} from (
      select r.job, r.rank, r.ord from stint.ready r where r.shard = ${shard} and r.queue_id = ${param('queueId')}::int and ${inTime}
          and (select epoch from c) is not null
       order by r.rank, r.ord, r.job limit ${param('limit')}::int) x ${wholeJobOfX}
    order by x.rank, x.ord, x.job`,
);

/**
 * The same of some types. By the index `ready_type` where the queue is claimed by type; of another as many as a listing looks at are looked
 * through, for asking must not cost it that index.
 */
const peekTypesStatement = statement<'now' | 'queueId' | 'types' | 'epochs' | 'limit'>(
  'peek-types',
  sql`with ${clockOfQueues},
  q as materialized (select sorted from stint.queue where shard = ${shard} and id = ${param('queueId')}::int and (select epoch from c) is not null)
  select ${wholeJobColumns} from (
      select * from (
        select u.* from unnest(${param('types')}::text[]) as y(type)
          cross join lateral (
            select r.job, r.rank, r.ord from stint.ready r
             where ${isOfType(sql`${param('queueId')}::int`, sql`y.type`)} and ${inTime}
             order by r.rank, r.ord, r.job limit ${param('limit')}::int) u
         where (select sorted from q) = ${SORTED.all}
        union all
        select u.* from (
            select r.job, r.rank, r.ord from stint.ready r where r.shard = ${shard} and r.queue_id = ${param('queueId')}::int and ${inTime}
             order by r.rank, r.ord limit ${LIMITS.scannedRows}) u
          cross join lateral (select type from stint.job where shard = ${shard} and id = u.job offset 0) o
         where (select sorted from q) < ${SORTED.all} and o.type = any(${param('types')}::text[])) a
       order by a.rank, a.ord, a.job limit ${param('limit')}::int) x ${wholeJobOfX}
    order by x.rank, x.ord, x.job`,
);

/** Of any type where none is named. */
export async function peekQueue(
  run: Run,
  now: string | null,
  queue: Queue,
  limit: number,
  types: readonly string[] = [],
): Promise<readonly Job[]> {
  const values = { now, queueId: queue.id, epochs: epochsOf([queue]), limit };
  const rows =
    types.length === 0 ? await run(peekQueueStatement, values) : await run(peekTypesStatement, { ...values, types: textArray(types) });
  return rows.map(parseJob);
}
