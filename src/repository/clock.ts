import { sql } from 'drizzle-orm';
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

/**
 * The same for a statement that names queues by their ids, which were found in `epochs`: in another history of the database
 * they are other queues, and the statement is refused (ST002).
 */
export const clockOfQueues = sql`c as materialized (
  select coalesce(${param('now')}::timestamptz, clock_timestamp()) as now, stint.expect_epoch(${shard}, ${param('epochs')}::int[]) as epoch)`;

/** The distinct epochs that the ids of these queues are of. */
export function epochsOf(queues: readonly Queue[]): string {
  return plainArray([...new Set(queues.map(({ epoch }) => epoch))]);
}

export function nowValue(source: Clock): string | null {
  return source.now()?.toISOString() ?? null;
}
