/** More is asked of a pool than its connections can do in time: its client is given up, and none of its connections stays. */
import { sql } from 'drizzle-orm';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Database } from '../../src/repository/database.ts';
import { statement } from '../../src/repository/statement.ts';
import { createDatabase } from '../support/database.ts';

const CONNECTIONS = 2;
const DEADLINE_MS = 1_000;
/** Ends while the client that was given up still lets its statements end. */
const hang = statement<never>('hang', sql`select pg_sleep(1.5)`);

it('leaves no connection open, though statements waited for one when the time was up', { timeout: 60_000 }, async () => {
  const database = await createDatabase();
  onTestFinished(async () => await database.drop());
  const pool = new Database({
    // The server would else end each of them before the service gives up.
    url: `${database.url}?statement_timeout=60000`,
    connections: CONNECTIONS,
    applicationName: 'given up',
    settings: 'hot',
    queryDeadlineMs: DEADLINE_MS,
  });
  const outcomes = await Promise.allSettled(Array.from({ length: 3 * CONNECTIONS }, () => pool.run(hang, {})));
  expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 'rejected'));
  await pool.close();
  await vi.waitFor(
    async () => {
      const open = await database.sql`select pid, state from pg_stat_activity where application_name = 'given up'`;
      expect([...open]).toEqual([]);
    },
    { timeout: 30_000, interval: 50 },
  );
});
