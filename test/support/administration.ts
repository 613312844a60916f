import postgres from 'postgres';

/** A database with the current schema, migrated once; each test file copies it in a tenth of a second. */
export const TEMPLATE = 'stint_template';

/** Of another database on the same server. */
export function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}

/** One command on a connection of its own. */
export async function administer(serverUrl: string, command: string): Promise<void> {
  const client = postgres(serverUrl, { max: 1, onnotice: () => undefined });
  try {
    await client.unsafe(command);
  } finally {
    await client.end({ timeout: 5 });
  }
}
