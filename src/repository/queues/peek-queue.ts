import { sql } from 'drizzle-orm';
import type { Job } from '../../domain/job.ts';
import type { Queue } from '../../domain/queue.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { parseJob, wholeJobColumns, wholeJobOfX } from '../jobs/get-jobs.ts';
import { param, shard, statement } from '../statement.ts';
import { inTime } from '../tokens.ts';

/** The head of the backlog in dispatch order, by the primary key of `ready`; nothing is locked, nothing is claimed. */
const peekQueueStatement = statement<'now' | 'queueId' | 'epochs' | 'limit'>(
  'peek-queue',
  sql`with ${clockOfQueues}
  select ${wholeJobColumns} from (
      select r.job, r.rank, r.ord from stint.ready r where r.shard = ${shard} and r.queue_id = ${param('queueId')}::int and ${inTime}
          and (select epoch from c) is not null
       order by r.rank, r.ord limit ${param('limit')}::int) x ${wholeJobOfX}
    order by x.rank, x.ord`,
);

export async function peekQueue(run: Run, now: string | null, queue: Queue, limit: number): Promise<readonly Job[]> {
  return (await run(peekQueueStatement, { now, queueId: queue.id, epochs: epochsOf([queue]), limit })).map(parseJob);
}
