import { sql } from 'drizzle-orm';
import type { LeaseLook } from '../../engine/ports/work.ts';
import type { SettleItem } from '../../engine/ports/leases.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { heldValues, live, placed } from '../held-leases.ts';
import { instantOrNull, int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { lossReasons } from './lost-lease.ts';

/** Found by primary key, locks nothing. */
const lookAtLeasesStatement = statement<'now' | 'n' | 'jobs' | 'fences' | 'secrets'>(
  'look-at-leases',
  sql`with ${clock}
  select i.n, l.cancel_deadline
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[], ${param('secrets')}::uuid[])
        as i(n, of_job, of_fence, of_token)
    cross join c
    cross join lateral (
      select l.cancel_deadline from stint.lease l
       where l.shard = ${shard} and l.job = i.of_job and l.token = i.of_token and l.fence = i.of_fence and ${live} offset 0) l`,
);

/** Positional. */
export async function lookAtLeases(run: Run, now: string | null, items: readonly SettleItem[]): Promise<readonly LeaseLook[]> {
  const looks = items.map((): LeaseLook | null => null);
  for (const row of await run(lookAtLeasesStatement, { now, ...heldValues(placed(items)) })) {
    looks[int(row, 'n')] = { kind: 'live', cancelDeadline: instantOrNull(row, 'cancel_deadline') };
  }
  const lost = items.filter((_, index) => looks[index] === null);
  const reasons = (await lossReasons(run, lost)).values();
  return looks.map((look) => look ?? { kind: 'lease_lost', reason: reasons.next().value ?? 'NOT_HELD' });
}
