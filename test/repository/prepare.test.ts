import { afterAll, beforeAll, expect, it } from 'vitest';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import { openStore } from '../../src/repository/store.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

it('a service opens though another one is just about to write the same epoch, for longer than a lock is waited for', async () => {
  const { sql } = database;
  const other = await sql.reserve();
  await other`begin`;
  // Of every number that this minute may have.
  await other`
    insert into stint.epoch (shard, number, id, system_identifier, timeline, home, opened_at)
    select 0, extract(epoch from clock_timestamp() - timestamptz '2026-01-01 00:00:00+00')::int + g, gen_random_uuid(),
           (select system_identifier from pg_control_system()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), stint.epoch_home(),
           clock_timestamp()
      from generate_series(-1, 60) g`;
  const opening = openStore({ url: database.url, clock: DATABASE_CLOCK, random: () => 0 });
  let waited = 0;
  while (waited < 10) {
    const [row] = await sql<{ waits: number }[]>`
      select count(*)::int as waits from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and xact_start < now() - interval '100 ms'`;
    waited += row?.waits ?? 0;
    await Promise.race([opening, new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  await other`commit`;
  other.release();
  const store = await opening;
  await store.close();
  const [epochs] = await sql`select count(*)::int as count from stint.epoch`;
  expect(epochs).toEqual({ count: 62 });
});
