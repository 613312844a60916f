/** How long the oldest job of a queue has been READY: by the heads of its priorities, however long the backlog is. */
import { sql, type SQL } from 'drizzle-orm';
import { shard } from '../statement.ts';

/** Priorities whose first jobs are looked at for the oldest: so many of the highest, and as many of the lowest. */
const RANKS = 16;

const head = (queue: SQL): SQL => sql`select r.rank, r.ord, r.job from stint.ready r where r.shard = ${shard} and r.queue_id = ${queue}`;

/**
 * CTEs `high` and `low` of a `with recursive`: the first job of each priority, found from one to the next by primary key. Within a priority jobs
 * stand in the order in which they became READY.
 */
export const heads = (queue: SQL): SQL => sql`high as (
  (select h.*, 1 as place from (${head(queue)} order by r.rank, r.ord limit 1) h)
  union all
  select n.*, high.place + 1 from high cross join lateral (${head(queue)} and r.rank > high.rank order by r.rank, r.ord limit 1) n
   where high.place < ${RANKS}),
low as (
  (select h.rank, 1 as place from (${head(queue)} order by r.rank desc limit 1) h)
  union all
  select n.rank, low.place + 1 from low cross join lateral (${head(queue)} and r.rank < low.rank order by r.rank desc limit 1) n
   where low.place < ${RANKS})`;

/** When the oldest of them took its position, by the event that gave it, or with its record; `heads` of the same queue stand before it. */
export const oldestReady = (queue: SQL): SQL => sql`(
  select min(coalesce(e.at, j.created_at)) from (
      select rank, ord, job from high
      union
      select n.rank, n.ord, n.job from low cross join lateral (${head(queue)} and r.rank = low.rank order by r.rank, r.ord limit 1) n) h
    cross join lateral (select created_at from stint.job where shard = ${shard} and id = h.job offset 0) j
    left join lateral (
      select at from stint.job_event where shard = ${shard} and job = h.job and ord = h.ord order by seq limit 1) e on true)`;
