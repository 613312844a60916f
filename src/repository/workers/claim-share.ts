/**
 * How many a claim takes of each queue, or of each type in each queue. Counted without locks, and before any is taken: what were locked and
 * left would be hidden from another claim, and nobody would tell it when it comes back.
 */
import { sql, type SQL } from 'drizzle-orm';
import { LIMITS } from '../../domain/limits.ts';
import { everyRank, GREATEST, inStretch, spans, stretchColumns, upTo } from '../floors.ts';
import { isOfType, SORTED } from '../sorted-queues.ts';
import { param, shard } from '../statement.ts';
import { inTime } from '../tokens.ts';

/** Bytes before the last job of a response: that one may be of any size. */
export const ROOM_BYTES = LIMITS.responseBytes - LIMITS.payloadBytes;

const wanted = sql`(select n from wanted)`;

/** How a backlog is read: all of a queue, or some types of it, each by an index in dispatch order. */
export interface Backlog {
  /** CTE `spans`: the places of the open queues, with `most`. */
  readonly spans: SQL;
  /** Whether what is behind may lie in another place than what was looked at. */
  readonly isSplit: SQL;
  /** What keeps a queue `q` from being read so: `when` branches. */
  readonly limiters: SQL;
  /** Columns that tell whose a place is. */
  readonly owner: (alias: SQL) => SQL;
  /** The tokens `r` of a place `t`, whatever its stretch. */
  readonly ofPlace: SQL;
  /** Whether a queue `o`, which is bounded or not, has jobs that wait behind what limits it; null: nobody knows. */
  readonly waitsBehind: SQL;
  /** A row where the queue `queueId` has a token to give. To be joined laterally: an `exists` may be planned as a read of all tokens. */
  readonly oneJob: (queueId: SQL) => SQL;
}

/** In dispatch order. */
export const dispatchOrder = (alias: SQL): SQL => sql`${alias}.rank, ${alias}.ord, ${alias}.job`;

/** Columns of a place. */
const key = ({ owner }: Backlog, alias: SQL): SQL => sql`${owner(alias)}, ${stretchColumns(alias)}`;

/** What is read `first` of each place `t` of the CTE `source`, with `columns` of the place: a scan of its stretch. */
function ofEach(source: SQL, columns: SQL, first: (isInStretch: SQL) => SQL): SQL {
  const each = inStretch(sql`t`).map(
    ({ applies, holds }) => sql`select ${columns}, u.* from ${source} t cross join lateral (${first(holds)}) u where ${applies}`,
  );
  return sql.join(each, sql` union all `);
}

/** Position and size of the first `count` tokens of each place `t` of `source`, with `columns` of the place. */
const heads = ({ ofPlace }: Backlog, source: SQL, columns: SQL, count: SQL): SQL =>
  ofEach(
    source,
    columns,
    (isInStretch) => sql`
      select r.rank, r.ord, r.job, r.size from stint.ready r where ${ofPlace} and ${isInStretch} order by ${dispatchOrder(sql`r`)} limit ${count}`,
  );

/** The first `lim` of each place of `share` that nobody has locked. */
export const locked = ({ ofPlace }: Backlog): SQL =>
  ofEach(
    sql`share`,
    sql`t.lim`,
    (isInStretch) => sql`
      select r.ctid as tid, r.rank, r.ord, r.job, r.size from stint.ready r
       where ${ofPlace} and ${isInStretch} order by ${dispatchOrder(sql`r`)} limit t.lim for update skip locked`,
  );

export const wholeQueues: Backlog = {
  spans: spans(inTime),
  isSplit: sql`(select count(*) > 1 from spans)`,
  limiters: sql``,
  owner: (alias) => sql`${alias}.queue_id`,
  ofPlace: sql`r.shard = ${shard} and r.queue_id = t.queue_id and ${inTime}`,
  waitsBehind: sql`o.ready > 0`,
  oneJob: (queueId) => sql`
    select true from stint.ready r where r.shard = ${shard} and r.queue_id = ${queueId} and ${inTime} order by ${dispatchOrder(sql`r`)} limit 1`,
};

const oneJobOfType = (queueId: SQL) => sql`
    select true from unnest(${param('types')}::text[]) as y(type)
     cross join lateral (
       select true from stint.ready r where ${isOfType(queueId, sql`y.type`)} and ${inTime} order by ${dispatchOrder(sql`r`)} limit 1) found
     limit 1`;

/** By the index `ready_type`: what lies between two jobs of a type is not read. */
export const byType: Backlog = {
  spans: sql`spans as materialized (
    select o.queue_id, y.type, o.most, ${everyRank} from open o cross join unnest(${param('types')}::text[]) as y(type) where o.most > 0)`,
  isSplit: sql`true`,
  limiters: sql`when q.sorted < ${SORTED.all} then 'UNSORTED'`,
  owner: (alias) => sql`${alias}.queue_id, ${alias}.type`,
  ofPlace: sql`${isOfType(sql`t.queue_id`, sql`t.type`)} and ${inTime}`,
  waitsBehind: sql`case when o.why in ('MAX_IN_FLIGHT', 'RATE') then exists (${oneJobOfType(sql`o.queue_id`)}) end`,
  oneJob: oneJobOfType,
};

/** Of one queue: all its spans are one backlog. The best of all of them, as many as are wanted and fit, say how many each gives. */
export const shareOfOne = sql`share as materialized (
  select ${key(wholeQueues, sql`w`)}, count(*)::int as lim from (
    select h.*, sum(h.size) over (order by ${dispatchOrder(sql`h`)}) - h.size as before from (
      select u.* from (${heads(wholeQueues, sql`spans`, key(wholeQueues, sql`t`), sql`t.most`)}) u
       order by ${dispatchOrder(sql`u`)} limit ${wanted}) h) w
   where w.before < ${ROOM_BYTES}
   group by ${key(wholeQueues, sql`w`)} order by ${key(wholeQueues, sql`w`)})`;

/** Of one queue, as many of each span as it has first and fit: for a claim that was overtaken. */
export const shareOfEach = sql`share as materialized (
  select ${key(wholeQueues, sql`w`)}, count(*)::int as lim from (
    select h.*, sum(h.size) over (partition by ${key(wholeQueues, sql`h`)} order by ${dispatchOrder(sql`h`)}) - h.size as before
      from (${heads(wholeQueues, sql`spans`, key(wholeQueues, sql`t`), sql`t.most`)}) h) w
   where w.before < ${ROOM_BYTES}
   group by ${key(wholeQueues, sql`w`)} order by ${key(wholeQueues, sql`w`)})`;

/**
 * Several places are one backlog: the best of all of them, as many as are wanted and fit, say how many each gives. Only places whose first
 * is among the best firsts count. Of each of those a few are looked at; the last that is wanted of these bounds what is read in full, so
 * that a thousand full queues are not read a thousand deep.
 */
export function shareOfMany(backlog: Backlog): SQL {
  const { owner } = backlog;
  const place = key(backlog, sql`t`);
  return sql`foremost as materialized (
    select h.*, row_number() over () as n from (${heads(backlog, sql`spans`, sql`${place}, t.most`, sql`1`)}) h
     order by ${dispatchOrder(sql`h`)} limit ${wanted}),
  depth as materialized (
    select greatest(ceil(sqrt(${wanted})), ceil(2.0 * ${wanted} / greatest(1, (select count(*) from foremost))))::int as n),
  bar as materialized (
    select coalesce(s.rank, ${GREATEST}) as rank, coalesce(s.ord, ${GREATEST}) as ord from wanted left join (
      select s.* from (${firsts(backlog, sql`foremost`, sql`t.n`, sql`least(t.most, (select n from depth))`)}) s
       order by ${dispatchOrder(sql`s`)} offset greatest(0, ${wanted} - 1) limit 1) s on true),
  near as materialized (${upTo(sql`foremost`, sql`bar`, sql`p.n, p.most, ${owner(sql`p`)}`)}),
  share as materialized (
    select ${place}, count(*)::int as lim from (
      select h.*, sum(h.size) over (order by ${dispatchOrder(sql`h`)}) - h.size as before from (
        select s.* from (${firsts(backlog, sql`near`, sql`t.n`, sql`t.most`)}) s order by ${dispatchOrder(sql`s`)} limit ${wanted}) h) w
     join foremost t on t.n = w.n
     where w.before < ${ROOM_BYTES}
     group by ${place} order by ${place})`;
}

/** Some of each place, whichever they are: for a claim that was overtaken, and would stop before what lies behind. */
export function shareOfAny(backlog: Backlog): SQL {
  const some = firsts(backlog, sql`spans`, key(backlog, sql`t`), sql`least(t.most, ceil(sqrt(${wanted}))::int)`);
  return sql`share as materialized (
    select ${key(backlog, sql`s`)}, count(*)::int as lim from (${some}) s group by ${key(backlog, sql`s`)} order by ${key(backlog, sql`s`)})`;
}

/** The first `depth` of each of the places `source` with `columns` of theirs, of a queue no more than it gives. */
function firsts(backlog: Backlog, source: SQL, columns: SQL, depth: SQL): SQL {
  return sql`select v.* from (
      select u.*, row_number() over (partition by u.owner order by ${dispatchOrder(sql`u`)}) as place
        from (${heads(backlog, source, sql`${columns}, t.most, t.queue_id as owner`, depth)}) u) v
     where v.place <= v.most`;
}
