/**
 * Rows of `fair` that tell nothing any more, so that the table holds the keys that have jobs.
 *
 * A key is told of while a job of it lies in the backlog, or may come back to its old place there: it must not be overtaken by the next one.
 * All positions of a key are at or below its `last`, so there is none of it once `last` lies before whatever is READY or in flight. Judged
 * twice: at first without locks; then, where a row seems to be idle, under its lock and by a snapshot that was taken behind it, for whoever
 * gives the key a position holds that lock.
 *
 * The row of the empty key goes last. While it is not there jobs without a key take the last place, and overtake nobody.
 */
import { sql, type SQL } from 'drizzle-orm';
import type { FairPlace, FairSweep } from '../../engine/ports/upkeep.ts';
import { plainArray, textArray } from '../array.ts';
import type { Database } from '../database.ts';
import { int, int8, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** CTE `idle`: the rows of `p` (rows of `fair`, with their ctid) that tell nothing. Reads the whole of `lease`: in-flight rows are few. */
const idle: SQL = sql`held as materialized (
    select l.queue_id, l.rank, min(l.ord) as ord from stint.lease l where l.shard = ${shard} group by l.queue_id, l.rank),
  heads as materialized (
    select x.queue_id, x.rank, least(r.ord, h.ord) as ord
      from (select distinct queue_id, rank from p) x
      left join held h on h.queue_id = x.queue_id and h.rank = x.rank
      left join lateral (
        select r.ord from stint.ready r where r.shard = ${shard} and r.queue_id = x.queue_id and r.rank = x.rank order by r.ord, r.job limit 1) r on true),
  idle as materialized (
    select p.* from p join heads h on h.queue_id = p.queue_id and h.rank = p.rank
     where case when p.key <> '' then coalesce(p.last < h.ord, true) else not exists (
       select 1 from stint.fair o where o.shard = ${shard} and o.queue_id = p.queue_id and o.rank = p.rank and o.key > '') end)`;

/** The next rows by primary key, with whether each seems to be idle. */
const fairPageStatement = statement<'queueId' | 'rank' | 'key' | 'limit'>(
  'fair-page',
  sql`with p as materialized (
    select f.ctid as tid, f.queue_id, f.rank, f.key, f.last from stint.fair f where f.shard = ${shard}
        and (f.queue_id, f.rank, f.key) > (${param('queueId')}::int, ${param('rank')}::bigint, ${param('key')}::text)
     order by f.queue_id, f.rank, f.key limit ${param('limit')}::int),
  ${idle}
  select p.queue_id, p.rank, p.key, p.tid in (select tid from idle) as idle from p order by p.queue_id, p.rank, p.key`,
);

const lockFairStatement = statement<'queueIds' | 'ranks' | 'keys'>(
  'lock-fair',
  sql`select f.queue_id, f.rank, f.key from unnest(${param('queueIds')}::int[], ${param('ranks')}::bigint[], ${param('keys')}::text[]) as i(queue_id, rank, key)
    cross join lateral (
      select * from stint.fair f where f.shard = ${shard} and f.queue_id = i.queue_id and f.rank = i.rank and f.key = i.key for update skip locked) f`,
);

const deleteIdleStatement = statement<'queueIds' | 'ranks' | 'keys'>(
  'delete-idle-fair',
  sql`with p as materialized (
    select f.* from unnest(${param('queueIds')}::int[], ${param('ranks')}::bigint[], ${param('keys')}::text[]) as i(queue_id, rank, key)
      cross join lateral (
        select f.ctid as tid, f.queue_id, f.rank, f.key, f.last from stint.fair f
         where f.shard = ${shard} and f.queue_id = i.queue_id and f.rank = i.rank and f.key = i.key offset 0) f),
  ${idle}
  delete from stint.fair where shard = ${shard} and ctid = any(array(select tid from idle)) returning queue_id`,
);

/** Before every place: no queue has the number 0. */
const FIRST: FairPlace = { queueId: 0, rank: 0n, key: '' };

export async function sweepFairKeys(
  database: Pick<Database, 'run' | 'transaction'>,
  after: FairPlace | null,
  limit: number,
): Promise<FairSweep> {
  const { queueId, rank, key } = after ?? FIRST;
  const rows = await database.run(fairPageStatement, { queueId, rank: String(rank), key, limit });
  const found = rows.filter((row) => row['idle'] === true).map(parsePlace);
  const last = rows.at(-1);
  return {
    swept: found.length === 0 ? 0 : await deleteIdle(database, found),
    next: last === undefined || rows.length < limit ? null : parsePlace(last),
  };
}

async function deleteIdle(database: Pick<Database, 'transaction'>, found: readonly FairPlace[]): Promise<number> {
  return await database.transaction(async (run) => {
    const locked = (await run(lockFairStatement, arraysOf(found))).map(parsePlace);
    return locked.length === 0 ? 0 : (await run(deleteIdleStatement, arraysOf(locked))).length;
  });
}

function arraysOf(places: readonly FairPlace[]) {
  return {
    queueIds: plainArray(places.map(({ queueId }) => queueId)),
    ranks: plainArray(places.map(({ rank }) => rank)),
    keys: textArray(places.map(({ key }) => key)),
  };
}

function parsePlace(row: Row): FairPlace {
  return { queueId: int(row, 'queue_id'), rank: int8(row, 'rank'), key: text(row, 'key') };
}
