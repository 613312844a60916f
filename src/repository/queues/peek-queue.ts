import { sql } from 'drizzle-orm';
import type { Job } from '../../domain/job.ts';
import type { Queue } from '../../domain/queue.ts';
import { epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { parseJob, wholeJobColumns, wholeJobOfX } from '../jobs/get-jobs.ts';
import { param, shard, statement } from '../statement.ts';

/** The head of the backlog in dispatch order, by the primary key of `ready`; nothing is locked, nothing is claimed. */
const peekQueueStatement = statement<'queueId' | 'epochs' | 'limit'>(
  'peek-queue',
  sql`select ${wholeJobColumns} from (
      select r.job, r.rank, r.ord from stint.ready r where r.shard = ${shard} and r.queue_id = ${param('queueId')}::int
          and stint.expect_epoch(${shard}, ${param('epochs')}::int[]) is not null
       order by r.rank, r.ord limit ${param('limit')}::int) x ${wholeJobOfX}
    order by x.rank, x.ord`,
);

export async function peekQueue(run: Run, queue: Queue, limit: number): Promise<readonly Job[]> {
  return (await run(peekQueueStatement, { queueId: queue.id, epochs: epochsOf([queue]), limit })).map(parseJob);
}
