import { sql } from 'drizzle-orm';
import type { Run } from './database.ts';
import { floatOrNull } from './row.ts';
import { statement } from './statement.ts';

/**
 * Transactions of this database that keep dead rows from being cleaned up: open ones with a snapshot or changes of their own, and prepared
 * ones. Not what cleans up itself, and not this statement. Of other roles' sessions a server tells only whoever may read all statistics.
 */
const oldestSnapshotStatement = statement<never>(
  'oldest-snapshot',
  sql`select (extract(epoch from clock_timestamp() - min(o.since)) * 1000)::float8 as age_ms from (
      select coalesce(a.xact_start, a.state_change) as since from pg_stat_activity a
       where a.datname = current_database() and a.pid <> pg_backend_pid() and coalesce(a.backend_xmin, a.backend_xid) is not null
         and (a.backend_type <> 'autovacuum worker' or a.query not like 'autovacuum: VACUUM%')
      union all
      select p.prepared from pg_prepared_xacts p where p.database = current_database()) o`,
);

/** Age of the oldest of them, in milliseconds; null where there is none. */
export async function oldestSnapshotMs(run: Run): Promise<number | null> {
  const [row] = await run(oldestSnapshotStatement, {});
  const age = row === undefined ? null : floatOrNull(row, 'age_ms');
  return age === null ? null : Math.max(0, age);
}
