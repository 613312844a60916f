/**
 * Where claims read the backlog. While somebody holds a snapshot open, the entries of claimed jobs at the left edge of `ready` cannot be
 * cleaned, and a scan from the edge passes all of them. A floor says of a rank of a queue that no row that is in order lies below it, and
 * none ever will; rows that are out of order are found below it by an index of their own. So a claim reads around what is dead, and
 * nothing that may be claimed is hidden (docs/adr/0014-floors-and-vacuum.md).
 */
import { sql, type SQL } from 'drizzle-orm';
import { shard } from './statement.ts';

const LEAST = sql`(-9223372036854775808)::bigint`;
const GREATEST = sql`9223372036854775807::bigint`;

/**
 * CTE `spans`: the stretches of `ready` to read for each queue of `open` that may give some (`queue_id`, `most`), from (`from_rank`,
 * `from_ord`) to before (`to_rank`, `to_ord`). One of each queue where there are no floors; with them one from each floor to the next rank
 * that has one, and one for each position below a floor at which rows `r` are out of order and meet `condition`.
 */
export const spans = (condition: SQL): SQL => sql`spans as materialized (
  select t.queue_id, t.most, s.* from open t cross join lateral (
    select e.rank as from_rank, e.ord as from_ord, coalesce(lead(e.rank) over (order by e.rank), ${GREATEST}) as to_rank, ${LEAST} as to_ord
      from (select ${LEAST} as rank, ${LEAST} as ord
        union all select f.rank, f.ord from stint.floor f where f.shard = ${shard} and f.queue_id = t.queue_id) e
    union all
    select distinct b.rank, b.ord, b.rank, b.ord + 1 from stint.floor f cross join lateral (
        select r.rank, r.ord from stint.ready r
         where r.shard = ${shard} and r.queue_id = t.queue_id and r.out_of_order and r.rank = f.rank and r.ord < f.ord and ${condition}
         order by r.ord limit t.most) b
     where f.shard = ${shard} and f.queue_id = t.queue_id) s
   where t.most > 0)`;

/** The columns of a span. */
export const spanColumns = (alias: SQL): SQL =>
  sql`${alias}.queue_id, ${alias}.from_rank, ${alias}.from_ord, ${alias}.to_rank, ${alias}.to_ord`;

/** A row `r` lies in a span. */
export const inSpan = (alias: SQL): SQL => sql`r.shard = ${shard} and r.queue_id = ${alias}.queue_id
  and (r.rank, r.ord) >= (${alias}.from_rank, ${alias}.from_ord) and (r.rank, r.ord) < (${alias}.to_rank, ${alias}.to_ord)`;
