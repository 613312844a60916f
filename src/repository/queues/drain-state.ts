import { sql } from 'drizzle-orm';
import type { QueueName } from '../../domain/queue.ts';
import type { DrainState } from '../../engine/ports/queues.ts';
import type { Run } from '../database.ts';
import { int, intOrNull } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { parseStatus } from './configured-queue.ts';

const drainStateStatement = statement<'namespace' | 'name'>(
  'drain-state',
  sql`select q.status, g.scheduled, g.blocked, g.ready, g.leased, g.running, g.retry_wait, g.suspended
    from stint.queue q left join stint.gate g on g.shard = ${shard} and g.queue_id = q.id
   where q.shard = ${shard} and q.namespace = ${param('namespace')}::text and q.name = ${param('name')}::text`,
);

/** Null: there is no such queue. */
export async function drainState(run: Run, { namespace, name }: QueueName): Promise<DrainState | null> {
  const [row] = await run(drainStateStatement, { namespace, name });
  if (row === undefined) return null;
  const count = (column: string) => int(row, column);
  return {
    status: parseStatus(int(row, 'status')),
    counts:
      intOrNull(row, 'ready') === null
        ? null
        : {
            ...{ scheduled: count('scheduled'), blocked: count('blocked'), ready: count('ready'), leased: count('leased') },
            ...{ running: count('running'), retryWait: count('retry_wait'), suspended: count('suspended') },
          },
  };
}
