import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { everyStatementObserver, type StatementObserver } from '../../src/engine/ports/statement-observer.ts';
import { Database } from '../../src/repository/database.ts';
import { param, statement } from '../../src/repository/statement.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const one = statement<'n'>('one', sql`select ${param('n')}::int as n`);
const divide = statement<'n'>('divide', sql`select 1 / ${param('n')}::int as n`);

let database: TestDatabase;
let pool: Database;
const told: unknown[] = [];
const observer: StatementObserver = {
  begin: (sent) => {
    told.push(sent);
    return (error) => told.push(error);
  },
};

beforeAll(async () => {
  database = await createDatabase();
  pool = new Database({ url: database.url, connections: 1, applicationName: 'watched', settings: 'plain', observer });
});
afterAll(async () => {
  await pool.close();
  await database.drop();
});
beforeEach(() => void told.splice(0));

it('whoever watches statements is told the name and pool of each, and that it was answered', async () => {
  await pool.run(one, { n: 7 });
  expect(told).toEqual([{ name: 'one', pool: 'watched' }, null]);
});

it('is told what a statement failed with', async () => {
  await expect(pool.run(divide, { n: 0 })).rejects.toMatchObject({ kind: 'bad_item' });
  expect(told).toMatchObject([{ name: 'divide', pool: 'watched' }, { kind: 'bad_item' }]);
});

it('is told of each statement of a transaction', async () => {
  await pool.transaction(async (run) => {
    await run(one, { n: 1 });
    await run(one, { n: 2 });
  });
  expect(told).toEqual([{ name: 'one', pool: 'watched' }, null, { name: 'one', pool: 'watched' }, null]);
});

it('several who watch are all told', () => {
  const ends: unknown[] = [];
  const watch = (name: string): StatementObserver => ({ begin: (sent) => (error) => ends.push([name, sent.name, error]) });
  everyStatementObserver([watch('a'), watch('b')]).begin({ name: 'one', pool: 'watched' })(null);
  expect(ends).toEqual([
    ['a', 'one', null],
    ['b', 'one', null],
  ]);
});
