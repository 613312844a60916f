import { sql } from 'drizzle-orm';
import type { LeaseToken } from '../../domain/lease.ts';
import type { HeldAttempt } from '../../engine/ports/held-attempts.ts';
import type { Run } from '../database.ts';
import { heldValues, placed } from '../held-leases.ts';
import { int, text } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** Found by primary key, locks nothing. */
const heldAttemptsStatement = statement<'n' | 'jobs' | 'fences' | 'secrets'>(
  'held-attempts',
  sql`select i.n, l.namespace, q.name as queue, l.attempt, l.worker
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[], ${param('secrets')}::uuid[])
        as i(n, of_job, of_fence, of_token)
    cross join lateral (
      select * from stint.lease l where l.shard = ${shard} and l.job = i.of_job and l.token = i.of_token and l.fence = i.of_fence offset 0) l
    cross join lateral (select * from stint.queue where shard = ${shard} and id = l.queue_id offset 0) q`,
);

/** Positional; null for a token under which nothing is held. */
export async function heldAttempts(run: Run, tokens: readonly LeaseToken[]): Promise<readonly (HeldAttempt | null)[]> {
  const rows = await run(heldAttemptsStatement, heldValues(placed(tokens.map((token) => ({ token })))));
  const found: (HeldAttempt | null)[] = tokens.map(() => null);
  for (const row of rows) {
    found[int(row, 'n')] = {
      namespace: text(row, 'namespace'),
      queue: text(row, 'queue'),
      attempt: int(row, 'attempt'),
      workerId: text(row, 'worker'),
    };
  }
  return found;
}
