import { sql } from 'drizzle-orm';
import type { UpkeepDue } from '../../engine/ports/upkeep.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { leaseEnd } from '../held-leases.ts';
import { instant, instantOrNull } from '../row.ts';
import { shard, statement } from '../statement.ts';

/**
 * The instants at which each round of upkeep has something to do. The first rows of the indexes that the rounds use, and the whole of
 * `lease`, which has none for it.
 */
const nextDueStatement = statement<'now'>(
  'next-due',
  sql`with ${clock}
  select c.now,
      (select d.due_at from stint.deferred d where d.shard = ${shard} order by d.due_at limit 1) as promote_at,
      (select min(${leaseEnd}) from stint.lease l where l.shard = ${shard}) as lease_ends_at,
      least(
        (select r.give_up_at from stint.ready r where r.shard = ${shard} and r.give_up_at is not null order by r.give_up_at limit 1),
        (select d.life_until from stint.deferred d where d.shard = ${shard} and d.life_until is not null order by d.life_until limit 1),
        (select k.life_until from stint.parked k where k.shard = ${shard} and k.life_until is not null order by k.life_until limit 1)
      ) as time_out_at
    from c`,
);

export async function nextDue(run: Run, now: string | null): Promise<UpkeepDue> {
  const [row] = await run(nextDueStatement, { now });
  if (row === undefined) throw new Error('the look for what is due answered nothing');
  return {
    promoteAt: instantOrNull(row, 'promote_at'),
    leaseEndsAt: instantOrNull(row, 'lease_ends_at'),
    timeOutAt: instantOrNull(row, 'time_out_at'),
    databaseTime: instant(row, 'now'),
  };
}
