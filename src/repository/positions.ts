/**
 * Positions in the backlog, and fairness: it is decided here alone, when a job becomes READY, so that whoever claims, cancels or peeks only
 * follows the order that is there: (rank, ord, job).
 *
 * Start-time fair queueing (Goyal, Vin and Cheng 1996), with the head of the backlog as the virtual time. Of one queue and rank, with U = UNIT:
 *
 * - `drawn`: the next value of `job_ord`, which rises by U. The position of a job without a key where no keys are in use.
 * - V: the position of the head of the backlog; of an empty one, the first `drawn` of the statement.
 * - step: ⌈U / weight⌉ of the job's key. A weight is at most 1,000, so 1 ≤ 66 ≤ step ≤ U.
 * - position = least(drawn, greatest(V − 1, last) + step), and `last` grows to what stands behind the comma.
 *
 * What follows, and what the tests hold:
 *
 * 1. **No position is above its `drawn`.** So a job that takes `drawn` itself comes behind all that took a position before it, with or
 *    without a key.
 * 2. **FIFO within a key.** A job that was there before the statement drew has a position ≤ its own, older `drawn` < `drawn`, and
 *    ≤ `last` < `last` + step, for `last` is read under the row's lock: it lies before both terms, so before the least of them. Those of one
 *    statement come in their order, because both terms rise with it.
 * 3. **The first job of a key waits for one round at most.** It lies at V − 1 + step, and jobs of a key of weight w lie at least U / w
 *    apart: at most w of them in [V, V + U), for a weight of its own of 1. A tie of two keys is decided by the id, the older first.
 * 4. **In proportion.** Of keys that have a backlog each advances by step for each job that is given.
 *
 * The empty key is one of the keys while others are in use; its row says so. It begins before the first `drawn` of the statement that
 * makes it and behind all that drew before. Without that row nobody overtakes anybody: `drawn` is the last place.
 */
import { sql, type SQL } from 'drizzle-orm';
import { shard } from './statement.ts';
import { blockedDetail, readyOrBlocked } from './tokens.ts';

/** The increment of `job_ord`. */
const UNIT = 65_536;

/**
 * CTEs that give positions to the rows of the CTE `source`: `place` (from 1, without gaps), `drawn` (rising in the order in which the jobs
 * come; null: takes none), `queue_id`, `rank` and `fair_key`. Read them with `positionAt`. Gates come before the rows of keys: `gated` is a
 * query of the queues whose gates the statement locks at all.
 *
 * Costs one look into the index of `fair` for each queue and rank. With keys also one at the head of `ready`, and an upsert a key.
 */
export const positions = (source: SQL, gated: SQL = sql`select queue_id from ${source}`): SQL => sql`fair_lines as materialized (
  select l.queue_id, l.rank, l.first, e.key is not null as mixed, coalesce(h.ord, l.first) - 1 as start, w.weights
    from (
      select queue_id, rank, min(drawn) as first, bool_or(fair_key is not null) as keyed from ${source} where drawn is not null
       group by queue_id, rank) l
    left join lateral (
      select f.key from stint.fair f where f.shard = ${shard} and f.queue_id = l.queue_id and f.rank = l.rank and f.key = '' offset 0) e on true
    left join lateral (
      select r.ord from stint.ready r
       where r.shard = ${shard} and r.queue_id = l.queue_id and r.rank = l.rank and (l.keyed or e.key is not null)
       order by r.ord, r.job limit 1) h on true
    left join lateral (
      select q.fairness_weights as weights from stint.queue q where q.shard = ${shard} and q.id = l.queue_id and l.keyed offset 0) w on true
   where l.keyed or e.key is not null),
fair_turns as materialized (
  select t.queue_id, t.rank, t.key, t.jobs * t.step as span,
      case when t.key = '' and not t.mixed then t.first - 1 else t.start end + t.jobs * t.step as last
    from (
      select f.queue_id, f.rank, s.key, f.first, f.start, f.mixed, count(s.drawn) as jobs,
          (${UNIT} - 1) / coalesce((f.weights ->> s.key)::int, 1) + 1 as step
        from fair_lines f join (
          select queue_id, rank, coalesce(fair_key, '') as key, drawn from ${source} where drawn is not null
          union all select queue_id, rank, '', null from fair_lines where not mixed) s on s.queue_id = f.queue_id and s.rank = f.rank
       group by f.queue_id, f.rank, s.key, f.first, f.start, f.mixed, f.weights) t),
fair_gates as materialized (
  select g.queue_id from stint.gate g
   where g.shard = ${shard} and g.queue_id = any(array(${gated})) and exists (select 1 from fair_turns) order by g.queue_id for update),
fair_rows as (
  insert into stint.fair (shard, queue_id, rank, key, last, span)
  select ${shard}, queue_id, rank, key, last, span from fair_turns where (select count(*) from fair_gates) is not null
   order by queue_id, rank, key
  on conflict (shard, queue_id, rank, key) do update set last = greatest(fair.last + excluded.span, excluded.last), span = excluded.span
  returning queue_id, rank, key, last, span),
fair_ords as materialized (
  select array_agg(p.ord order by p.place) filter (where p.place is not null) as ords from (
    select s.place, case when s.drawn is not null and max(s.last) over k is not null then least(s.drawn,
        max(s.last) over k - max(s.span) over k + max(s.span) over k / nullif(count(s.drawn) over k, 0) * row_number() over (k order by s.drawn)) end as ord
      from (
        select place, drawn, queue_id, rank, coalesce(fair_key, '') as key, null::bigint as last, null::bigint as span from ${source}
         where exists (select 1 from fair_turns)
        union all select null, null, queue_id, rank, key, last, span from fair_rows) s
    window k as (partition by s.queue_id, s.rank, s.key)) p)`;

/** The position of a row `x` of the source, or of what has its `place`, where keys are in use; else null. */
export const fairPositionAt = (x: SQL): SQL => sql`(select ords from fair_ords)[${x}.place]`;

/** The position of a row `x` of the source, or of what has its `place` and `drawn`. */
export const positionAt = (x: SQL): SQL => sql`coalesce(${fairPositionAt(x)}, ${x}.drawn)`;

/**
 * CTE `z`: the rows of the CTE `y`, which could be READY, each with its `ord`, the state that it comes to (`becomes`), and the `detail` of its
 * event. `y` has what `positions` asks for, what the event tells besides (`told`, jsonb), `lock_key`, `holds` and `external`: what is parked
 * where nobody claims it stands in no line.
 */
export const positioned = sql`draws as materialized (
  select place, case when not external then drawn end as drawn, queue_id, rank, fair_key from y),
${positions(sql`draws`)},
z as materialized (
  select y.*, ${positionAt(sql`y`)} as ord, ${readyOrBlocked} as becomes, nullif((y.told || ${blockedDetail})::text, '{}') as detail from y)`;
