/**
 * Where claims read the backlog. While somebody holds a snapshot open, the entries of claimed jobs at the left edge of `ready` cannot be
 * cleaned, and a scan from the edge passes all of them. A floor says of a rank of a queue that no row that is in order lies below it, and
 * none ever will; rows that are out of order are found below it by an index of their own. So a claim reads around what is dead, and
 * nothing that may be claimed is hidden (docs/adr/0014-floors-and-vacuum.md).
 */
import { sql, type SQL } from 'drizzle-orm';
import { shard } from './statement.ts';

const LEAST = sql`(-9223372036854775808)::bigint`;
/** No position and no rank is behind it. */
export const GREATEST = sql`9223372036854775807::bigint`;

/**
 * CTE `spans`: the stretches of `ready` to read for each queue of `open` that may give some (`queue_id`, `most`): whole ranks, from `low` to
 * `high`, or of one rank, `at_rank`, the positions from `from_ord` to `to_ord`; what does not apply is null. One of each queue where there are no
 * floors; with them the ranks between two floors, what lies above a floor in its rank, and each position below it at which rows `r` are
 * out of order and meet `condition`.
 */
export const spans = (condition: SQL): SQL => sql`spans as materialized (
  select t.queue_id, t.most, s.* from open t cross join lateral (
    select e.low, coalesce(lead(e.rank) over (order by e.low) - 1, ${GREATEST}) as high, null::bigint as at_rank, null::bigint as from_ord, null::bigint as to_ord
      from (select ${LEAST} as low, null::bigint as rank
        union all select f.rank + 1, f.rank from stint.floor f where f.shard = ${shard} and f.queue_id = t.queue_id) e
    union all
    select null, null, f.rank, f.ord, ${GREATEST} from stint.floor f where f.shard = ${shard} and f.queue_id = t.queue_id
    union all
    select distinct null::bigint, null::bigint, b.rank, b.ord, b.ord from stint.floor f cross join lateral (
        select r.rank, r.ord from stint.ready r
         where r.shard = ${shard} and r.queue_id = t.queue_id and r.out_of_order and r.rank = f.rank and r.ord < f.ord and ${condition}
         order by r.ord limit t.most) b
     where f.shard = ${shard} and f.queue_id = t.queue_id) s
   where t.most > 0)`;

/** The columns of a stretch. */
export const stretchColumns = (alias: SQL): SQL => sql`${alias}.low, ${alias}.high, ${alias}.at_rank, ${alias}.from_ord, ${alias}.to_ord`;

/** A stretch of all there is. */
export const everyRank = sql`${LEAST} as low, ${GREATEST} as high, null::bigint as at_rank, null::bigint as from_ord, null::bigint as to_ord`;

/** How a row `r` lies in a stretch of a kind. */
interface InStretch {
  /** Whether the stretch is of this kind. */
  readonly applies: SQL;
  readonly holds: SQL;
}

/** Before version 18 Postgres does not end a scan by the second column of `(rank, ord) < (…)`: each kind has bounds that end it. */
export const inStretch = (alias: SQL): readonly InStretch[] => [
  { applies: sql`${alias}.at_rank is null`, holds: sql`r.rank >= ${alias}.low and r.rank <= ${alias}.high` },
  {
    applies: sql`${alias}.at_rank is not null`,
    holds: sql`r.rank = ${alias}.at_rank and r.ord >= ${alias}.from_ord and r.ord <= ${alias}.to_ord`,
  },
];

/** The stretches of `places` up to the position of `bar` (`rank`, `ord`), with further `columns` of theirs. */
export const upTo = (places: SQL, bar: SQL, columns: SQL): SQL => sql`
  select ${columns}, p.low, least(p.high, b.rank - 1) as high, p.at_rank, p.from_ord, case when p.at_rank = b.rank then least(p.to_ord, b.ord) else p.to_ord end as to_ord
    from ${places} p cross join ${bar} b where p.at_rank is null or p.at_rank <= b.rank
  union all
  select ${columns}, null, null, b.rank, ${LEAST}, b.ord from ${places} p cross join ${bar} b where b.rank >= p.low and b.rank <= p.high`;
