import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator';
import postgres from 'postgres';
import { refuseUnfitServer } from './server-fitness.ts';

/** Any number of replicas may start at once: they take turns here. */
const MIGRATION_LOCK = 7_362_415_118;

/** Brings the schema up to date. All pending migrations are one transaction. Throws `UnfitServerError` before it changes anything. */
export async function migrate(url: string): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => undefined, connect_timeout: 5, fetch_types: false });
  try {
    await refuseUnfitServer(client);
    await client`select pg_advisory_lock(${MIGRATION_LOCK})`;
    await applyMigrations(drizzle(client), { migrationsFolder: migrationsFolder(), migrationsSchema: 'stint_migrations' });
  } finally {
    await client.end({ timeout: 5 });
  }
}

/** The migrations are read as they stand in the sources, from `src` and from `dist` alike. */
function migrationsFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return join(folder, 'src/repository/migrations');
}
