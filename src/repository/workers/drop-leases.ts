import { sql } from 'drizzle-orm';
import type { SettleItem } from '../../engine/ports/repository.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { distinctSorted, heldLeases, heldValues, placed, type HeldParam } from '../held-leases.ts';
import { int } from '../row.ts';
import { shard, statement } from '../statement.ts';

/** The lease ends at this instant, grace and all, as one that nobody renewed. Touches no indexed column (HOT). */
const dropLeasesStatement = statement<HeldParam>(
  'drop-leases',
  sql`with ${clock}, ${heldLeases({})},
  u as (
    update stint.lease set until = (select now from c) - grace_ms * interval '1 millisecond'
     where shard = ${shard} and job = any(array(select job from m)))
  select n from m`,
);

/** Positional: whether a live lease was dropped. */
export async function dropLeases(run: Run, now: string | null, items: readonly SettleItem[]): Promise<readonly boolean[]> {
  const rows = await run(dropLeasesStatement, { now, ...heldValues(distinctSorted(placed(items))) });
  const dropped = new Set(rows.map((row) => int(row, 'n')));
  return items.map((_, index) => dropped.has(index));
}
