/** Opening epochs: system identifier, timeline and home tell whether the database is the one that was written before. */
import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { Run } from './database.ts';
import { param, shard, statement } from './statement.ts';
import { untilUnlocked } from './until-unlocked.ts';

/**
 * The next epoch of this server, unless somebody has opened it already. Its number is also at least the seconds since
 * 2026: after a fail-over that lost the latest epoch it still rises, and fences with it.
 */
const openEpochStatement = statement<'id'>(
  'open-epoch',
  sql`insert into stint.epoch (shard, number, id, system_identifier, timeline, home, opened_at)
    select ${shard}, greatest(coalesce((select max(number) from stint.epoch where shard = ${shard}), 0) + 1,
        extract(epoch from clock_timestamp() - timestamptz '2026-01-01 00:00:00+00')::int),
        ${param('id')}::uuid, s.system_identifier, s.timeline, s.home, clock_timestamp()
      from (select (select system_identifier from pg_control_system()) as system_identifier,
                   substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline, stint.epoch_home() as home) s
     where not exists (
       select 1 from stint.epoch e where e.shard = ${shard} and e.system_identifier = s.system_identifier and e.timeline = s.timeline
          and e.home = s.home)
    on conflict (shard, number) do nothing`,
);

export async function openEpoch(run: Run): Promise<void> {
  await untilUnlocked(() => run(openEpochStatement, { id: randomUUID() }));
}
