import { randomBytes } from 'node:crypto';
import postgres, { type Sql } from 'postgres';
import { inject } from 'vitest';
import { administer, databaseUrl, TEMPLATE } from './administration.ts';

export interface TestDatabase {
  readonly url: string;
  /** A look behind the service's back. */
  readonly sql: Sql;
  drop(): Promise<void>;
}

/** A database of its own, with the current schema unless other options of CREATE DATABASE are given. */
export async function createDatabase(options = `template ${TEMPLATE}`): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const server = inject('postgresUrl');
  await administer(server, `create database ${name} ${options} strategy wal_log`);
  const url = databaseUrl(server, name);
  const sql = postgres(url, { max: 4, onnotice: () => undefined });
  return {
    url,
    sql,
    drop: async () => {
      await sql.end({ timeout: 5 });
      await administer(server, `drop database ${name} with (force)`);
    },
  };
}
