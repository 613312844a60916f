import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';
import postgres, { type Sql, type TransactionSql } from 'postgres';
import { bool, int, type Row } from './row.ts';
import { findSchemaVersion, judgeSchema, type Release, thisRelease } from './schema-version.ts';
import { type Executor, refuseMissingRights, refuseUnfitServer } from './server-fitness.ts';

/** Any number of replicas may start at once: they take turns here. */
const MIGRATION_LOCK = 7_362_415_118;

/** Who waits for a table keeps all others waiting behind: so long at a time, then they get their turn. */
const LOCK_RETRY_MS = 1_000;
/** A vacuum of the service's own holds a table for up to 200 s. */
const MAX_TURNS = 150;

/** What stands between a database and a release. */
export interface MigrationPlan {
  /** The version of the schema; null where there is none. */
  readonly from: number | null;
  /** What it comes to: that of the release, or more where another release has been there. */
  readonly to: number;
  /** Names of the migrations, in their order. */
  readonly pending: readonly string[];
}

/**
 * Brings the schema up to date, also beside replicas that serve. All pending migrations are one transaction, under a lock that ends with it. Gives
 * what was done; throws `UnfitServerError` before it changes anything, also where the tables are ahead of what the release may work on.
 */
export async function migrate(url: string, release: Release = thisRelease()): Promise<MigrationPlan> {
  return await connected(url, async (database) => {
    await refuseUnfitServer(database);
    const plan = await planWithRights(database, release);
    const done = plan.pending.length > 0 ? await apply(database, release) : plan;
    await refuseOtherSchema(database, release);
    return done;
  });
}

/** What `migrate` would do, without doing it. Throws as it does. */
export async function lookAhead(url: string, release: Release = thisRelease()): Promise<MigrationPlan> {
  return await connected(url, async (database) => {
    await refuseUnfitServer(database);
    const plan = await planWithRights(database, release);
    if (plan.pending.length === 0) await refuseOtherSchema(database, release);
    return plan;
  });
}

/** For who serves and leaves the migrations to others. Throws `UnfitServerError` where this release must not serve on what is there. */
export async function checkSchema(url: string, release: Release = thisRelease()): Promise<void> {
  await connected(url, async (database) => {
    await refuseUnfitServer(database);
    await refuseMissingRights(database, { migrates: false });
    await refuseOtherSchema(database, release);
  });
}

async function connected<T>(url: string, work: (database: Sql) => Promise<T>): Promise<T> {
  const client = postgres(url, { max: 1, onnotice: () => undefined, connect_timeout: 5, fetch_types: false, prepare: false });
  try {
    return await work(client);
  } finally {
    await client.end({ timeout: 5 });
  }
}

async function refuseOtherSchema(database: Executor, release: Release): Promise<void> {
  const refusal = judgeSchema(await findSchemaVersion(database), release);
  if (refusal !== null) throw refusal;
}

/** What the plan itself needs is asked first: who may not look into a schema finds nothing there. */
async function planWithRights(database: Executor, release: Release): Promise<MigrationPlan> {
  await refuseMissingRights(database, { migrates: false });
  const plan = await planMigrations(database, release);
  if (plan.pending.length > 0) await refuseMissingRights(database, { migrates: true });
  return plan;
}

async function planMigrations(database: Executor, release: Release): Promise<MigrationPlan> {
  const entries = parseJournal(readFileSync(join(release.migrations, 'meta/_journal.json'), 'utf8'));
  const appliedAt = await lastApplied(database);
  const applied = entries.filter(({ when }) => when <= appliedAt);
  const from = (await findSchemaVersion(database))?.version ?? applied.at(-1)?.idx ?? null;
  const pending = entries.filter(({ when }) => when > appliedAt).map(({ tag }) => tag);
  return { from, to: Math.max(from ?? 0, release.schemaVersion), pending };
}

/** As drizzle-kit dated the last migration that is there; 0 where none is. */
async function lastApplied(database: Executor): Promise<number> {
  const [table = {}] = await database<Row[]>`select to_regclass('stint_migrations.__drizzle_migrations') is not null as found`;
  if (!bool(table, 'found')) return 0;
  const [row = {}] = await database<Row[]>`select coalesce(max(created_at), 0) as at from stint_migrations.__drizzle_migrations`;
  return int(row, 'at');
}

interface JournalEntry {
  readonly idx: number;
  readonly when: number;
  readonly tag: string;
}

function parseJournal(text: string): readonly JournalEntry[] {
  return (JSON.parse(text) as { readonly entries: readonly JournalEntry[] }).entries;
}

/** Gives what was pending when the lock was had. Throws what the driver says where tables stay locked. */
async function apply(database: Sql, release: Release): Promise<MigrationPlan> {
  for (let turn = 1; ; turn += 1) {
    try {
      return await applyOnce(database, release);
    } catch (error) {
      if (!isContended(error) || turn === MAX_TURNS) throw error;
    }
    await pause(LOCK_RETRY_MS);
  }
}

/**
 * As drizzle-orm's own migrator does, and into the same table; but that one begins its transaction by itself, so that the lock would have to be the
 * session's, and a transaction pooler gives the next statement another session.
 */
async function applyOnce(database: Sql, release: Release): Promise<MigrationPlan> {
  return await database.begin(async (transaction) => {
    await transaction`select pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    await transaction`select set_config('lock_timeout', ${String(LOCK_RETRY_MS)}, true), set_config('statement_timeout', '0', true)`;
    const since = await lastApplied(transaction);
    const plan = await planMigrations(transaction, release);
    await transaction`create schema if not exists stint_migrations`;
    await transaction`
      create table if not exists stint_migrations.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)`;
    const migrations = readMigrationFiles({ migrationsFolder: release.migrations });
    for (const migration of migrations) if (migration.folderMillis > since) await applyMigration(transaction, migration);
    return plan;
  });
}

async function applyMigration(transaction: TransactionSql, { sql, hash, folderMillis }: MigrationMeta): Promise<void> {
  for (const command of sql) await transaction.unsafe(command);
  await transaction`insert into stint_migrations.__drizzle_migrations (hash, created_at) values (${hash}, ${folderMillis})`;
}

/** A table stayed locked (55P03), or each of two waited for the other (40P01). */
function isContended(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && (error.code === '55P03' || error.code === '40P01')) || isContended(error.cause);
}
