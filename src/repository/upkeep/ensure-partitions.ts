import { sql } from 'drizzle-orm';
import type { Micros } from '../../domain/job.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { instant } from '../row.ts';
import { param, statement } from '../statement.ts';
import { untilUnlocked } from '../until-unlocked.ts';

/**
 * Partitions from the oldest id a client may mint (24 h, and an hour of slack) to three days ahead. The time alone, not the
 * epoch: that is opened once there are partitions.
 */
const ensurePartitionsStatement = statement<'now'>(
  'ensure-partitions',
  sql`select stint.ensure_partitions(c.now - interval '25 hours', c.now + interval '72 hours')
    from (select coalesce(${param('now')}::timestamptz, clock_timestamp()) as now) c`,
);

const databaseTimeStatement = statement<'now'>('database-time', sql`with ${clock} select c.now from c`);

export async function ensurePartitions(run: Run, now: string | null): Promise<void> {
  await untilUnlocked(() => run(ensurePartitionsStatement, { now }));
}

export async function databaseTime(run: Run, now: string | null): Promise<Micros> {
  const [row] = await run(databaseTimeStatement, { now });
  if (row === undefined) throw new Error('the database has no time');
  return instant(row, 'now');
}
