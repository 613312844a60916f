import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../src/repository/database.ts';
import { param, statement } from '../../src/repository/statement.ts';
import { PATIENT, Stage } from '../engine/stage.ts';

const CONNECTIONS = 2;
/** More than there are connections. */
const NUMBERS = Array.from({ length: 20 }, (_, index) => index);

const pass = statement<'n'>('pass', sql`select ${param('n')}::int from public.gate`);
const insert = statement<'n'>('insert', sql`insert into public.number values (${param('n')}::int)`);

describe('a pool whose connections are all at work', () => {
  let stage: Stage;
  let pool: Database;
  beforeAll(async () => {
    stage = await Stage.open();
    await stage.sql`create table public.gate ()`;
    await stage.sql`create table public.number (n int)`;
    pool = new Database({ url: `${stage.database.url}?${PATIENT}`, connections: CONNECTIONS, applicationName: 'full', settings: 'hot' });
  });
  afterAll(async () => {
    await pool.close();
    await stage.close();
  });

  it('commits a transaction that comes then, and whatever is answered after it', async () => {
    const occupy = () => Array.from({ length: CONNECTIONS }, () => pool.run(pass, { n: 0 }));
    // The driver sends more behind a statement that the connection has prepared.
    await Promise.all(occupy());
    const stranger = await stage.stranger((sql) => sql`lock table public.gate`);
    const atWork = occupy();
    await stage.waitingForLocks(CONNECTIONS);
    const [first = -1, ...others] = NUMBERS;
    const transaction = pool.transaction((run) => run(insert, { n: first }));
    const inserts = others.map((n) => pool.run(insert, { n }));
    await stranger.rollback();
    await Promise.all([...atWork, transaction, ...inserts]);
    const stored = await stage.sql`select n from public.number order by n`;
    expect(stored.map(({ n }) => Number(n))).toEqual(NUMBERS);
  });
});
