import { sql, type SQL } from 'drizzle-orm';
import { shard } from '../statement.ts';

/**
 * A snapshot `taken` (pg_snapshot), cut off at the transaction id `at` (xid8): from there on it shows nothing.
 *
 * Postgres hands a transaction id out again after a crash when nothing of it was flushed (one that rolled back, a NOTIFY): taken as it
 * is, the snapshot would call it seen, and the durable commit that gets it next would be missed. Below a journal row that is visible,
 * hence flushed, no id comes again.
 */
export const cutSnapshot = (
  taken: SQL,
  at: SQL,
): SQL => sql`(least(pg_snapshot_xmin(${taken}), ${at})::text || ':' || ${at}::text || ':' || coalesce((
    select string_agg(o.xid::text, ',' order by o.xid) from pg_snapshot_xip(${taken}) as o(xid) where o.xid < ${at}), ''))::pg_snapshot`;

/** The transaction id behind `xid`. */
export const behind = (xid: SQL): SQL => sql`(${xid}::text::bigint + 1)::text::xid8`;

/** CTE `k`: the statement's snapshot (`taken`), its epoch, the id behind the newest journal row of that epoch that it sees (`top`), and what has left the journal last. */
export const taken = sql`k as materialized (
  select pg_current_snapshot() as taken, e.number as epoch, e.id as epoch_id, f.epoch as floor_epoch, f.n as floor_n, f.xid::text as floor_xid,
      greatest((
          select ${behind(sql`j.xid`)} from stint.journal j
           where j.shard = ${shard} and j.epoch = e.number order by j.xid desc limit 1),
        case when f.epoch = e.number then ${behind(sql`f.xid`)} end, '1'::xid8) as top
    from stint.epoch e
    left join lateral (select * from stint.journal_floor where shard = ${shard} order by epoch desc limit 1) f on true
   where e.shard = ${shard} and e.number = stint.current_epoch(${shard}))`;

/** CTEs `k` and `s`: the statement's own snapshot, cut off behind the newest journal row it sees, with the epoch of the server that answers. */
export const here = sql`${taken},
s as materialized (select ${cutSnapshot(sql`k.taken`, sql`k.top`)} as snapshot, k.epoch, k.epoch_id, k.floor_epoch, k.floor_n, k.floor_xid from k)`;
