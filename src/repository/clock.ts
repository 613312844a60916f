import { sql, type SQL } from 'drizzle-orm';
import type { Queue } from '../domain/queue.ts';
import type { Clock } from '../engine/ports/clock.ts';
import { plainArray } from './array.ts';
import { param, shard } from './statement.ts';

/**
 * CTE `c`: the statement's one instant, and the epoch it writes in. Read when the statement runs, not when it was sent:
 * it is later than every commit the statement can see.
 */
export const clock = sql`c as materialized (
  select coalesce(${param('now')}::timestamptz, clock_timestamp()) as now, stint.current_epoch(${shard}) as epoch)`;

/** The same, read once the rows of the CTE `locked` are locked: what is decided by it comes after all that was decided under those locks before. */
export const clockBehind = (locked: SQL): SQL => sql`c as materialized (
  select coalesce(${param('now')}::timestamptz, clock_timestamp()) as now, stint.current_epoch(${shard}) as epoch from (select count(*) from ${locked}) g)`;

/**
 * The same for a statement that names queues by their ids, which were found in `epochs`: in another history of the database
 * they are other queues, and the statement is refused (ST002).
 */
export const clockOfQueues = clockOfQueuesFrom(sql``);

/** The same, read once the gates `gl` are locked: what is done at that instant comes after all that was done under the lock before. */
export const clockBehindGates = clockOfQueuesFrom(sql` from (select count(*) from gl) g`);

function clockOfQueuesFrom(source: SQL): SQL {
  return sql`c as materialized (
  select coalesce(${param('now')}::timestamptz, clock_timestamp()) as now, stint.expect_epoch(${shard}, ${param('epochs')}::int[]) as epoch${source})`;
}

/** The distinct epochs that the ids of these queues are of. */
export function epochsOf(queues: readonly Queue[]): string {
  return plainArray([...new Set(queues.map(({ epoch }) => epoch))]);
}

export function nowValue(source: Clock): string | null {
  return source.now()?.toISOString() ?? null;
}
