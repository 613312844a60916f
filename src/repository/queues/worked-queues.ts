import { sql } from 'drizzle-orm';
import { MODE_CODES, STATUS_CODES } from '../../domain/queue.ts';
import type { WorkedQueue } from '../../engine/ports/work.ts';
import { textArray } from '../array.ts';
import type { Run } from '../database.ts';
import { bool, int, text } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

const workedQueuesStatement = statement<'namespace' | 'names'>(
  'worked-queues',
  sql`select q.name, q.lease_duration_ms, q.mode = ${MODE_CODES.PULL_ONLY} as pull_only, q.status = ${STATUS_CODES.DRAINING_IN_FLIGHT} as draining
    from unnest(${param('names')}::text[]) as i(name)
    cross join lateral (
      select * from stint.queue where shard = ${shard} and namespace = ${param('namespace')}::text and name = i.name offset 0) q`,
);

/** Those that are there, in no order. */
export async function workedQueues(run: Run, namespace: string, names: readonly string[]): Promise<readonly WorkedQueue[]> {
  const rows = await run(workedQueuesStatement, { namespace, names: textArray(names) });
  return rows.map((row) => ({
    name: text(row, 'name'),
    leaseDurationMs: int(row, 'lease_duration_ms'),
    isPullOnly: bool(row, 'pull_only'),
    isDraining: bool(row, 'draining'),
  }));
}
