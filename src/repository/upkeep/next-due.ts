import { sql } from 'drizzle-orm';
import type { Micros } from '../../domain/job.ts';
import type { UpkeepDue } from '../../engine/ports/upkeep.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { leaseEndWithSession, leasesWithSessions } from '../held-leases.ts';
import { instant, instantOrNull } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { behindMark, mark } from '../tally.ts';

/**
 * The instants at which each round of upkeep has something to do. The first rows of the indexes that the rounds use, and, `withLeases`, the
 * whole of `lease`, which has none for it. Of the journal, whether anything lies behind the mark up to which it is folded.
 */
const nextDueStatement = statement<'now' | 'withLeases'>(
  'next-due',
  sql`with ${clock}, ${mark}
  select c.now,
      (select d.due_at from stint.deferred d where d.shard = ${shard} order by d.due_at limit 1) as promote_at,
      case when ${param('withLeases')}::boolean then (select min(${leaseEndWithSession}) from ${leasesWithSessions} where l.shard = ${shard}) end as lease_ends_at,
      least(
        (select r.give_up_at from stint.ready r where r.shard = ${shard} and r.give_up_at is not null order by r.give_up_at limit 1),
        (select d.life_until from stint.deferred d where d.shard = ${shard} and d.life_until is not null order by d.life_until limit 1),
        (select k.life_until from stint.parked k where k.shard = ${shard} and k.life_until is not null order by k.life_until limit 1)
      ) as time_out_at,
      (select s.wake_at from stint.slot s where s.shard = ${shard} and s.wake_at is not null order by s.wake_at limit 1) as unblock_at,
      case when not exists (select 1 from m) or exists (select 1 from m cross join lateral (select 1 from stint.journal a where ${behindMark} limit 1) a)
          or exists (select 1 from m cross join lateral pg_snapshot_xip(m.snapshot) as o(xid) cross join lateral (
            select 1 from stint.journal where shard = ${shard} and epoch = m.epoch and xid = o.xid limit 1) a) then c.now end as fold_at
    from c`,
);

/** Looks at the leases take about this share of the time at most. */
const LEASE_LOOK_SHARE = 0.05;
/** They are at most so far apart: so late, and a second, the lease of another replica that is gone may end. */
const MAX_LEASE_LOOK_INTERVAL_MS = 10_000;

/**
 * Looks for what is due. While somebody holds a snapshot `lease` keeps every row it ever had, and reading it takes longer and longer: the
 * looks at it are then spaced by what the last one took. Between them the end that was seen last is told, until it has passed.
 */
export class DueLook {
  #leasesAgainAt = Number.NEGATIVE_INFINITY;
  #leaseEndsAt: Micros | null = null;

  async look(run: Run, now: string | null): Promise<UpkeepDue> {
    const startedAt = performance.now();
    const withLeases = startedAt >= this.#leasesAgainAt;
    const [row] = await run(nextDueStatement, { now, withLeases });
    if (row === undefined) throw new Error('the look for what is due answered nothing');
    const databaseTime = instant(row, 'now');
    if (withLeases) {
      const endedAt = performance.now();
      this.#leasesAgainAt = endedAt + Math.min(MAX_LEASE_LOOK_INTERVAL_MS, (endedAt - startedAt) / LEASE_LOOK_SHARE);
      this.#leaseEndsAt = instantOrNull(row, 'lease_ends_at');
    }
    const isPast = !withLeases && this.#leaseEndsAt !== null && this.#leaseEndsAt <= databaseTime;
    return {
      promoteAt: instantOrNull(row, 'promote_at'),
      leaseEndsAt: isPast ? null : this.#leaseEndsAt,
      timeOutAt: instantOrNull(row, 'time_out_at'),
      unblockAt: instantOrNull(row, 'unblock_at'),
      foldAt: instantOrNull(row, 'fold_at'),
      databaseTime,
    };
  }
}
