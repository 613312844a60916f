import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../src/repository/database.ts';
import { int } from '../../src/repository/row.ts';
import { statement } from '../../src/repository/statement.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const CONNECTIONS = 4;

const backend = statement<never>('backend', sql`select pg_backend_pid() as pid`);

describe('a pool with connections to choose from', () => {
  let database: TestDatabase;
  let pool: Database;
  beforeAll(async () => {
    database = await createDatabase();
    pool = new Database({ url: database.url, connections: CONNECTIONS, applicationName: 'warm', settings: 'hot' });
  });
  afterAll(async () => {
    await pool.close();
    await database.drop();
  });

  const pidOf = async () => int((await pool.run(backend, {}))[0] ?? {}, 'pid');

  it('takes the first that is free: what comes one after the other finds its plans where it left them', async () => {
    const open = new Set(await Promise.all(Array.from({ length: CONNECTIONS }, pidOf)));
    expect(open.size).toBe(CONNECTIONS);
    const taken = new Set<number>();
    for (let count = 0; count < 2 * CONNECTIONS; count += 1) {
      taken.add(await pidOf());
      taken.add(await pool.transaction(async (run) => int((await run(backend, {}))[0] ?? {}, 'pid')));
      // Two at once take another one too, for as long as they are.
      await Promise.all([pidOf(), pidOf()]);
    }
    expect(taken.size).toBe(1);
  });
});
