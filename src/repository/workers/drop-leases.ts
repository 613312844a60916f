import { sql } from 'drizzle-orm';
import type { DropItem } from '../../engine/ports/work.ts';
import { plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { byJob, heldLeases, heldValues, placed, type HeldParam } from '../held-leases.ts';
import { int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** The lease ends at this instant, grace and all, as one that nobody renewed, and no session keeps it. Touches no indexed column (HOT). */
const dropLeasesStatement = statement<HeldParam | 'sessions'>(
  'drop-leases',
  sql`with ${clock}, ${heldLeases({
    extraArrays: sql`, ${param('sessions')}::uuid[]`,
    extraColumns: sql`, of_session`,
    condition: sql`and (l.session is null or l.session = i.of_session)`,
  })},
  u as (
    update stint.lease set until = (select now from c) - grace_ms * interval '1 millisecond', session = null
     where shard = ${shard} and job = any(array(select job from m)))
  select n from m`,
);

/** Positional: whether a live lease was dropped. */
export async function dropLeases(run: Run, now: string | null, items: readonly DropItem[]): Promise<readonly boolean[]> {
  // Two sessions may name one lease, and only one of them may drop it.
  const sorted = placed(items).toSorted(byJob);
  const sessions = plainArray(sorted.map(({ item }) => item.session));
  const rows = await run(dropLeasesStatement, { now, ...heldValues(sorted), sessions });
  const dropped = new Set(rows.map((row) => int(row, 'n')));
  return items.map((_, index) => dropped.has(index));
}
