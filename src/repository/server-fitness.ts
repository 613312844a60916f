import { sql } from 'drizzle-orm';
import type { Sql, TransactionSql } from 'postgres';
import { LOCK_TIMEOUT_MS, PLAIN_SETTINGS, type Run } from './database.ts';
import { bool, int, type Row, text, textOrNull } from './row.ts';
import { statement } from './statement.ts';

/** Postgres 15, as `server_version_num` counts. */
const OLDEST_SERVER_NUMBER = 150_000;

/** Whatever a client sends can be stored only there: UTF-8 is the encoding of the wire. */
const ENCODING = 'UTF8';

/** A connection outside the pools: at a start, and for migrations. */
export type Executor = Sql | TransactionSql;

/** The service does not work with this server or database; nothing was done there. The message says why, and how to mend it. */
export class UnfitServerError extends Error {
  override readonly name = 'UnfitServerError';
  readonly kind = 'unfit_server';
}

/** Asks the server what it is, before anything of ours is made there. Throws `UnfitServerError`. */
export async function refuseUnfitServer(database: Executor): Promise<void> {
  // Packagers put their own name behind the version.
  const [server = {}] = await database<Row[]>`
    select current_setting('server_version_num') as number, split_part(current_setting('server_version'), ' ', 1) as version,
           current_setting('server_encoding') as encoding, pg_is_in_recovery() as standby,
           current_setting('transaction_read_only') = 'on' as read_only`;
  const unfit = unfitness(server);
  if (unfit !== null) throw new UnfitServerError(unfit);
}

function unfitness(server: Row): string | null {
  if (int(server, 'number') < OLDEST_SERVER_NUMBER) {
    return `the server runs Postgres ${text(server, 'version')}, and Stint needs ${OLDEST_SERVER_NUMBER / 10_000} or newer: upgrade it, or name a newer one`;
  }
  if (text(server, 'encoding') !== ENCODING) {
    return `the database is encoded in ${text(server, 'encoding')}, and Stint needs ${ENCODING}: make another one with ENCODING '${ENCODING}', and name that`;
  }
  if (bool(server, 'standby')) return 'the server is a standby that only reads: give the address of the primary';
  if (bool(server, 'read_only')) {
    return 'transactions only read here, by default_transaction_read_only: set that off for the user and the database';
  }
  return null;
}

/**
 * Asks what the user may do, so that one line names the right that is missing. Who migrates makes schemas; everyone who serves makes and drops the
 * partitions of a day, for which Postgres asks to own the tables, and reads which history of the database this is. Throws `UnfitServerError`.
 */
export async function refuseMissingRights(database: Executor, { migrates }: { readonly migrates: boolean }): Promise<void> {
  const [rights = {}] = await database<Row[]>`
    select current_user::text as role, current_database()::text as database, has_database_privilege(current_database(), 'CREATE') as may_create,
           (select has_schema_privilege(n.oid, 'CREATE') and has_schema_privilege(n.oid, 'USAGE') from pg_namespace n where n.nspname = 'stint') as may_fill,
           (select pg_get_userbyid(c.relowner)::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname in ('stint', 'stint_migrations') and c.relkind in ('r', 'p', 'S') and not pg_has_role(c.relowner, 'USAGE') limit 1) as other_owner,
           (select f.name from unnest(array['pg_control_system()', 'pg_current_wal_lsn()', 'pg_walfile_name(pg_lsn)']) f(name)
             where not has_function_privilege(f.name, 'EXECUTE') limit 1) as function`;
  const missing = missingRight(rights, migrates);
  if (missing !== null) throw new UnfitServerError(`user "${text(rights, 'role')}" ${missing}`);
}

function missingRight(rights: Row, migrates: boolean): string | null {
  const role = text(rights, 'role');
  const name = text(rights, 'database');
  if (migrates && !bool(rights, 'may_create')) {
    return `may not create schemas: grant create on database "${name}" to "${role}"`;
  }
  const owner = textOrNull(rights, 'other_owner');
  if (owner !== null) return `does not own the tables of the schema stint, "${owner}" does: grant "${owner}" to "${role}"`;
  if (rights['may_fill'] === false) return `may not make tables in the schema stint: grant usage, create on schema stint to "${role}"`;
  const fn = textOrNull(rights, 'function');
  return fn === null ? null : `may not call ${fn}: grant execute on function ${fn} to "${role}"`;
}

/** A setting with which what was answered may be lost. */
export interface WeakSetting {
  readonly name: 'fsync' | 'full_page_writes' | 'synchronous_commit';
  /** What a crash may take, with it off. */
  readonly risk: string;
}

const RISKS: Readonly<Record<WeakSetting['name'], string>> = {
  fsync: 'a crash of the machine may corrupt the database',
  full_page_writes: 'a crash of the machine may corrupt pages',
  synchronous_commit: 'a crash of the server loses commits that were answered',
};

const findWeakSettingsStatement = statement<never>(
  'find-weak-settings',
  sql`select s.name from unnest(array['fsync', 'full_page_writes', 'synchronous_commit']) as s(name) where current_setting(s.name) = 'off'`,
);

/** What is off of that which makes a commit last: the service works, and must not be trusted. */
export async function findWeakSettings(run: Run): Promise<readonly WeakSetting[]> {
  const rows = await run(findWeakSettingsStatement, {});
  return rows.map((row) => {
    const name = parseSetting(text(row, 'name'));
    return { name, risk: RISKS[name] };
  });
}

function parseSetting(name: string): WeakSetting['name'] {
  if (!(name in RISKS)) throw new Error(`nothing was asked of ${name}`);
  return name as WeakSetting['name'];
}

const tellSettingsStatement = statement<never>(
  'tell-settings',
  sql`select current_setting('enable_seqscan') as enable_seqscan, current_setting('lock_timeout') as lock_timeout`,
);

/**
 * A pooler that is told to pass over what it does not know drops the settings that the connections were opened with: all of them, where the
 * parameters of a URL may overrule some. Throws `UnfitServerError`.
 */
export async function refuseHiddenPooler(run: Run): Promise<void> {
  const [row = {}] = await run(tellSettingsStatement, {});
  if (text(row, 'enable_seqscan') === PLAIN_SETTINGS.enable_seqscan || text(row, 'lock_timeout') === `${LOCK_TIMEOUT_MS}ms`) return;
  throw new UnfitServerError(
    'a pooler in between drops the settings of a session: set STINT_POOLER=transaction, or give the address of Postgres itself',
  );
}
