/**
 * How many a claim takes of each queue, or of each type in each queue. Counted without locks, and before any is taken: what were locked and
 * left would be hidden from another claim, and nobody would tell it when it comes back.
 */
import { sql, type SQL } from 'drizzle-orm';
import { LIMITS } from '../../domain/limits.ts';
import { inSpan, spanColumns, spans } from '../floors.ts';
import { isOfType, SORTED } from '../sorted-queues.ts';
import { param, shard } from '../statement.ts';
import { inTime } from '../tokens.ts';

/** Bytes before the last job of a response: that one may be of any size. */
export const ROOM_BYTES = LIMITS.responseBytes - LIMITS.payloadBytes;

const wanted = sql`(select n from wanted)`;

/** Of one queue: all its spans are one backlog. The best of all of them, as many as are wanted and fit, say how many each gives. */
export const shareOfOne = sql`share as materialized (
  select ${spanColumns(sql`w`)}, count(*)::int as lim from (
    select h.*, sum(h.size) over (order by h.rank, h.ord, h.job) - h.size as before from (
      select ${spanColumns(sql`t`)}, u.* from spans t
       cross join lateral (
         select r.rank, r.ord, r.job, r.size from stint.ready r where ${inSpan(sql`t`)} and ${inTime} order by r.rank, r.ord, r.job limit t.most) u
       order by u.rank, u.ord, u.job limit ${wanted}) h) w
   where w.before < ${ROOM_BYTES}
   group by ${spanColumns(sql`w`)} order by ${spanColumns(sql`w`)})`;

/** Of one queue, as many of each span as it has first and fit: for a claim that was overtaken. */
export const shareOfEach = sql`share as materialized (
  select ${spanColumns(sql`t`)}, (
      select count(*)::int from (
        select sum(h.size) over (order by h.rank, h.ord, h.job) - h.size as before from (
          select r.rank, r.ord, r.job, r.size from stint.ready r where ${inSpan(sql`t`)} and ${inTime} order by r.rank, r.ord, r.job limit t.most) h) w
       where w.before < ${ROOM_BYTES}) as lim
    from spans t)`;

/** How a backlog is read: all of a queue, or some types of it, each by an index in dispatch order. */
export interface Backlog {
  /** CTEs that its places are made of. */
  readonly spans: SQL;
  /** Whether what is behind may lie in another place than what was looked at. */
  readonly isSplit: SQL;
  /** Columns of a place `t` that its tokens do not have. */
  readonly ofSpan: SQL;
  /** What keeps a queue `q` from being read so: `when` branches. */
  readonly limiters: SQL;
  /** Columns of a place. */
  readonly key: SQL;
  /** The places of the open queues, with `most`. */
  readonly places: SQL;
  /** The tokens `r` of a place `t`. */
  readonly ofPlace: SQL;
  readonly order: (alias: SQL) => SQL;
  /** Whether a queue `o`, which is bounded or not, has jobs that wait behind what limits it; null: nobody knows. */
  readonly waitsBehind: SQL;
  /** A row where the queue `queueId` has a token to give. To be joined laterally: an `exists` may be planned as a read of all tokens. */
  readonly oneJob: (queueId: SQL) => SQL;
}

export const wholeQueues: Backlog = {
  spans: sql`${spans(inTime)},`,
  isSplit: sql`(select count(*) > 1 from spans)`,
  ofSpan: sql`, t.from_rank, t.from_ord, t.to_rank, t.to_ord`,
  limiters: sql``,
  key: sql`queue_id, from_rank, from_ord, to_rank, to_ord`,
  places: sql`select ${spanColumns(sql`s`)}, s.most from spans s`,
  ofPlace: sql`${inSpan(sql`t`)} and ${inTime}`,
  order: (alias) => sql`${alias}.rank, ${alias}.ord, ${alias}.job`,
  waitsBehind: sql`o.ready > 0`,
  oneJob: (queueId) => sql`
    select true from stint.ready r where r.shard = ${shard} and r.queue_id = ${queueId} and ${inTime} order by r.rank, r.ord, r.job limit 1`,
};

const oneJobOfType = (queueId: SQL) => sql`
    select true from unnest(${param('types')}::text[]) as y(type)
     cross join lateral (
       select true from stint.ready r where ${isOfType(queueId, sql`y.type`)} and ${inTime} order by r.rank, r.ord, r.job limit 1) found
     limit 1`;

/** By the index `ready_type`: what lies between two jobs of a type is not read. */
export const byType: Backlog = {
  spans: sql``,
  isSplit: sql`true`,
  ofSpan: sql``,
  limiters: sql`when q.sorted < ${SORTED.all} then 'UNSORTED'`,
  key: sql`queue_id, type`,
  places: sql`select o.queue_id, y.type, o.most from open o cross join unnest(${param('types')}::text[]) as y(type) where o.most > 0`,
  ofPlace: sql`${isOfType(sql`t.queue_id`, sql`t.type`)} and ${inTime}`,
  order: (alias) => sql`${alias}.rank, ${alias}.ord, ${alias}.job`,
  waitsBehind: sql`case when o.why in ('MAX_IN_FLIGHT', 'RATE') then exists (${oneJobOfType(sql`o.queue_id`)}) end`,
  oneJob: oneJobOfType,
};

/**
 * Several places are one backlog: the best of all of them, as many as are wanted and fit, say how many each gives. Only places whose first
 * is among the best firsts count. Of each of those a few are looked at; the last that is wanted of these bounds what is read in full, so
 * that a thousand full queues are not read a thousand deep.
 */
export function shareOfMany(backlog: Backlog): SQL {
  const { key, places, ofPlace, order } = backlog;
  return sql`foremost as materialized (
    select t.* from (${places}) t cross join lateral (
        select r.rank, r.ord, r.job from stint.ready r where ${ofPlace} order by ${order(sql`r`)} limit 1) h
     order by ${order(sql`h`)} limit ${wanted}),
  depth as materialized (
    select greatest(ceil(sqrt(${wanted})), ceil(2.0 * ${wanted} / greatest(1, (select count(*) from foremost))))::int as n),
  bar as materialized (
    select s.rank, s.ord from (${firsts(backlog, sql`foremost`, sql`least(t.most, (select n from depth))`)}) s
     order by ${order(sql`s`)} offset greatest(0, ${wanted} - 1) limit 1),
  share as materialized (
    select ${key}, count(*)::int as lim from (
      select h.*, sum(h.size) over (order by ${order(sql`h`)}) - h.size as before from (
        select s.* from (${firsts(
          backlog,
          sql`foremost`,
          sql`t.most`,
          sql`and (r.rank, r.ord) <= (coalesce((select rank from bar), ${LAST}), coalesce((select ord from bar), ${LAST}))`,
        )}) s
         order by ${order(sql`s`)} limit ${wanted}) h) w
     where w.before < ${ROOM_BYTES}
     group by ${key} order by ${key})`;
}

/** Some of each place, whichever they are: for a claim that was overtaken, and would stop before what lies behind. */
export function shareOfAny(backlog: Backlog): SQL {
  const { key, places } = backlog;
  const some = firsts(backlog, sql`(${places})`, sql`least(t.most, ceil(sqrt(${wanted}))::int)`);
  return sql`share as materialized (select ${key}, count(*)::int as lim from (${some}) s group by ${key} order by ${key})`;
}

/** The first `depth` of each of the places `source`, of a queue no more than it gives. */
function firsts({ ofPlace, order, ofSpan }: Backlog, source: SQL, depth: SQL, condition = sql``): SQL {
  return sql`select v.* from (
      select u.*, t.most ${ofSpan}, row_number() over (partition by u.queue_id order by ${order(sql`u`)}) as place
        from ${source} t cross join lateral (
          select r.queue_id, r.type, r.rank, r.ord, r.job, r.size from stint.ready r
           where ${ofPlace} ${condition} order by ${order(sql`r`)} limit ${depth}) u) v
     where v.place <= v.most`;
}

/** Behind every position. */
const LAST = sql`9223372036854775807::bigint`;
