import { sql } from 'drizzle-orm';
import type { LeaseLossReason, SettleItem } from '../../engine/ports/repository.ts';
import { heldValues, placed } from '../held-leases.ts';
import type { Run } from '../database.ts';
import { bool, int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** How the try of each token ended, found by (job, fence) and proved by the token; a lease that is still there has lapsed. */
const lostLeaseStatement = statement<'n' | 'jobs' | 'fences' | 'secrets'>(
  'lost-lease',
  sql`select i.n, a.is_settled
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[], ${param('secrets')}::uuid[])
        as i(n, job, fence, token)
    cross join lateral (
      select a.settlement is not null as is_settled from stint.attempt a
       where a.shard = ${shard} and a.job = i.job and a.fence = i.fence and a.token = i.token
      union all
      select false from stint.lease l where l.shard = ${shard} and l.job = i.job and l.fence = i.fence and l.token = i.token) a`,
);

/** Positional, for leases of which none is live. */
export async function lossReasons(run: Run, items: readonly SettleItem[]): Promise<readonly LeaseLossReason[]> {
  if (items.length === 0) return [];
  const reasons = items.map((): LeaseLossReason => 'NOT_HELD');
  for (const row of await run(lostLeaseStatement, heldValues(placed(items)))) {
    reasons[int(row, 'n')] = bool(row, 'is_settled') ? 'SETTLED' : 'EXPIRED';
  }
  return reasons;
}
