/**
 * Moves floors up behind what is claimed. Two rounds make a move: the first marks how far positions are drawn, the second moves the floor
 * there once all transactions of before the mark have ended, but not past the first job that still waits.
 */
import { sql } from 'drizzle-orm';
import { plainArray } from '../array.ts';
import type { Database } from '../database.ts';
import { int, int8 } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** A rank (−priority) of a queue. */
export interface Backlog {
  readonly queueId: number;
  readonly rank: bigint;
}

/** Floors of one queue; a claim reads a stretch for each. Ranks past them are read from their edge. */
const FLOORS_PER_QUEUE = 64;

/** The next position. Positions are not transactional: it is of this very moment. */
const markStatement = statement<never>(
  'mark-positions',
  sql`select case when is_called then last_value + 1 else last_value end as mark from stint.job_ord`,
);

/**
 * Why a floor at `ord` hides nothing. Of the rows that are in order, one below the mark was drawn before the mark was read, by a
 * transaction that had its id before it drew; that id lies before `mark_xid`, which is assigned after the mark was read. With the least
 * open id at or past `mark_xid` that transaction has ended, and this snapshot sees its row: then it waits, and the floor stops at it, or
 * it was claimed. Whatever comes back does so out of order. So any floor that is told here holds for good, whoever writes it last.
 */
const moveFloorsStatement = statement<'queueIds' | 'ranks' | 'mark'>(
  'move-floors',
  sql`with own as materialized (select pg_current_xact_id() as xid),
  b as materialized (
    select b.queue_id, b.rank, f.ord, f.mark, f.mark_xid, f.mark_xid <= pg_snapshot_xmin(pg_current_snapshot()) as passed
      from unnest(${param('queueIds')}::int[], ${param('ranks')}::bigint[]) as b(queue_id, rank)
      left join stint.floor f on f.shard = ${shard} and f.queue_id = b.queue_id and f.rank = b.rank
     where f.ord is not null or ${FLOORS_PER_QUEUE} > (select count(*) from stint.floor o where o.shard = ${shard} and o.queue_id = b.queue_id)
     order by b.queue_id, b.rank),
  m as materialized (
    select b.queue_id, b.rank, b.passed,
        case when b.passed then least(b.mark, (
            select r.ord from stint.ready r where r.shard = ${shard} and r.queue_id = b.queue_id and r.rank = b.rank and r.ord >= b.ord
             order by r.ord limit 1))
          else coalesce(b.ord, (-9223372036854775808)::bigint) end as ord,
        ${param('mark')}::bigint as mark, own.xid as mark_xid
      from b cross join own),
  w as (
    insert into stint.floor (shard, queue_id, rank, ord, mark, mark_xid)
    select ${shard}, queue_id, rank, ord, mark, mark_xid from m where passed is distinct from false
    on conflict (shard, queue_id, rank) do update set ord = excluded.ord, mark = excluded.mark, mark_xid = excluded.mark_xid)
  select queue_id, rank from m where passed`,
);

/** In one transaction, which is on one server: the mark of another history would lie anywhere. Gives those that were moved. */
export async function moveFloors(database: Database, backlogs: readonly Backlog[]): Promise<readonly Backlog[]> {
  return await database.transaction(async (run) => {
    const [row] = await run(markStatement, {});
    if (row === undefined) throw new Error('positions have no sequence');
    const rows = await run(moveFloorsStatement, {
      mark: String(int8(row, 'mark')),
      queueIds: plainArray(backlogs.map(({ queueId }) => queueId)),
      ranks: plainArray(backlogs.map(({ rank }) => rank)),
    });
    return rows.map((moved) => ({ queueId: int(moved, 'queue_id'), rank: int8(moved, 'rank') }));
  });
}

/** With the dead entries cleaned there is nothing to read around. */
const dropFloorsStatement = statement<never>('drop-floors', sql`delete from stint.floor where shard = ${shard}`);

export async function dropFloors({ run }: Database): Promise<void> {
  await run(dropFloorsStatement, {});
}
