import postgres, { type Row, type Sql } from 'postgres';

/** A database with the current schema, migrated once; each test file copies it in a tenth of a second. */
export const TEMPLATE = 'stint_template';

/** Of another database on the same server. */
export function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}

/** One command on a connection of its own; gives its rows. */
export async function administer(serverUrl: string, command: string): Promise<readonly Row[]> {
  return await connected(serverUrl, async (sql) => await sql.unsafe(command));
}

/** Work on a connection of its own. */
export async function connected<T>(url: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}
