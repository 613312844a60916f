/**
 * The tallies of the queues: what the journal's `moves` come to. A row of `queue_tally` has what is folded; the tail is what the mark's
 * snapshot does not show. Both together, read by one statement, are exact at its snapshot (ADR 17).
 */
import { sql, type SQL } from 'drizzle-orm';
import type { Sample } from '../domain/queue-stats.ts';
import { plainItems, type Row } from './row.ts';
import { shard } from './statement.ts';

/** Of `queue_tally`, in the order in which `moves` tells them behind the queue's number. */
const NUMBERS = [
  sql`scheduled`,
  sql`blocked`,
  sql`ready`,
  sql`leased`,
  sql`running`,
  sql`retry_wait`,
  sql`suspended`,
  sql`enqueued`,
  sql`claimed`,
  sql`finished`,
  sql`failed`,
  sql`dead_letters`,
];

/** What is told of each number, parted by commas; `at` is its place in a row of `moves`. */
export const ofEach = (told: (name: SQL, at: number) => SQL): SQL =>
  sql.join(
    NUMBERS.map((name, index) => told(name, index + 2)),
    sql`, `,
  );

const SAMPLE_NUMBERS = 5;

/** A tally `y` as it stands, as a sample: microseconds since 1970, enqueued, claimed, finished, failed. */
export const asSample = sql`array[(extract(epoch from y.at) * 1000000)::bigint, y.enqueued, y.claimed, y.finished, y.failed]`;

export function parseSamples(row: Row, column: string): readonly Sample[] {
  const numbers = (plainItems(row, column) ?? []).map(Number);
  return Array.from({ length: Math.floor(numbers.length / SAMPLE_NUMBERS) }, (_, index) => {
    const [at = 0, enqueued = 0, claimed = 0, finished = 0, failed = 0] = numbers.slice(index * SAMPLE_NUMBERS);
    return { at, enqueued, claimed, finished, failed };
  });
}

/** CTE `m`: how far the journal is folded; no row where that has not begun. */
export const mark = sql`m as materialized (select k.epoch, k.snapshot from stint.tally_mark k where k.shard = ${shard})`;

/** Journal rows `a` behind the mark `m`, by the index on their transactions. What was open at the mark is not among them. */
export const behindMark = sql`a.shard = ${shard} and (a.epoch, a.xid) >= (m.epoch, pg_snapshot_xmax(m.snapshot))`;

/** CTE `tail`: the journal rows that the mark in `source` (with `m`) does not show, those behind it as far as `within` lets them. */
export const tailOf = (source: SQL, within: SQL): SQL => sql`tail as materialized (
  select j.at, j.moves from ${source} cross join lateral (
    select a.at, a.moves from stint.journal a where ${behindMark} and ${within}
    union all
    select b.at, b.moves from pg_snapshot_xip(m.snapshot) as o(xid) cross join lateral (
      select * from stint.journal where shard = ${shard} and epoch = m.epoch and xid = o.xid offset 0) b) j)`;

/** CTEs `m` and `tail`: all that is not folded. */
export const unfolded = sql`${mark}, ${tailOf(sql`m`, sql`true`)}`;

/** The rows of `tail` by queue: `queue_id`, `at`, and `moves` with the place `i` of the queue's numbers in it. */
export const tailByQueue = sql`(
  select t.moves[g.i][1] as queue_id, t.at, t.moves, g.i from tail t cross join lateral generate_subscripts(t.moves, 1) as g(i)) u`;
