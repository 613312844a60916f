import { sql } from 'drizzle-orm';
import type { Clock } from '../engine/ports/clock.ts';
import { param, shard } from './statement.ts';

/**
 * CTE `c`: the statement's one instant, and the epoch it writes in. Read when the statement runs, not when it was sent:
 * it is later than every commit the statement can see.
 */
export const clock = sql`c as materialized (
  select coalesce(${param('now')}::timestamptz, clock_timestamp()) as now, stint.current_epoch(${shard}) as epoch)`;

export function nowValue(source: Clock): string | null {
  return source.now()?.toISOString() ?? null;
}
