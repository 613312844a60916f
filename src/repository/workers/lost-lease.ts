import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { LEASE_LOSS_REASONS, type LeaseLossReason, type SettleItem } from '../../engine/ports/leases.ts';
import { heldValues, leaseEnd, placed } from '../held-leases.ts';
import type { Run } from '../database.ts';
import { int, text } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/**
 * How the try of each token ended, found by (job, fence) and proved by the token; a lease that is still there has lapsed. What came first
 * is told, also where the job is CANCELLED because it was to be.
 */
const lostLeaseStatement = statement<'n' | 'jobs' | 'fences' | 'secrets'>(
  'lost-lease',
  sql`select i.n, a.reason
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[], ${param('secrets')}::uuid[])
        as i(n, job, fence, token)
    cross join lateral (
      select case when a.settlement is not null then 'SETTLED' when a.ended_type = ${EVENT_CODES.cancelled} and a.failure ->> 'code' is distinct from 'stint.lease_expired' then 'CANCELLED'
               when a.failure ->> 'code' like 'stint.timeout.%' then 'TIMED_OUT' else 'EXPIRED' end as reason from stint.attempt a
       where a.shard = ${shard} and a.job = i.job and a.fence = i.fence and a.token = i.token
      union all
      select case ${leaseEnd} when l.cancel_deadline then 'CANCELLED' when l.run_until then 'TIMED_OUT' when l.life_until then 'TIMED_OUT'
               else 'EXPIRED' end
        from stint.lease l where l.shard = ${shard} and l.job = i.job and l.fence = i.fence and l.token = i.token) a`,
);

/** Positional, for leases of which none is live. */
export async function lossReasons(run: Run, items: readonly SettleItem[]): Promise<readonly LeaseLossReason[]> {
  if (items.length === 0) return [];
  const reasons = items.map((): LeaseLossReason => 'NOT_HELD');
  for (const row of await run(lostLeaseStatement, heldValues(placed(items)))) {
    reasons[int(row, 'n')] = parseReason(text(row, 'reason'));
  }
  return reasons;
}

function parseReason(text: string): LeaseLossReason {
  const reason = LEASE_LOSS_REASONS.find((one) => one === text);
  if (reason === undefined) throw new Error('a lease was lost for an unknown reason');
  return reason;
}
