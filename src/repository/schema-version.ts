import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sql } from 'drizzle-orm';
import { ONLY_SHARD, type Run } from './database.ts';
import { bool, int, type Row } from './row.ts';
import { type Executor, UnfitServerError } from './server-fitness.ts';
import { shard, statement } from './statement.ts';

/** What a release brings along to know its tables by. */
export interface Release {
  /** The number of its last migration. */
  readonly schemaVersion: number;
  /** The folder that drizzle-kit writes. */
  readonly migrations: string;
}

/** Goes up with each migration; a test holds it to the last one. */
const SCHEMA_VERSION = 9;

/** The migrations are read as they stand in the sources, from `src` and from `dist` alike. */
export function thisRelease(): Release {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return { schemaVersion: SCHEMA_VERSION, migrations: join(folder, 'src/repository/migrations') };
}

/** What the database says of its tables. */
export interface SchemaVersion {
  /** The number of the last migration that was applied. */
  readonly version: number;
  /** Releases whose own version is below this one would break on these tables, or break them. */
  readonly servesFrom: number;
}

const readSchemaVersionStatement = statement<never>(
  'read-schema-version',
  sql`select version, serves_from from stint.schema_version where shard = ${shard}`,
);

/** Null where no row says it. Throws where there is no such table: before any migration, and before the one that made it. */
export async function readSchemaVersion(run: Run): Promise<SchemaVersion | null> {
  return parseSchemaVersion(await run(readSchemaVersionStatement, {}));
}

/** Null also where there is no such table. */
export async function findSchemaVersion(database: Executor): Promise<SchemaVersion | null> {
  const [table = {}] = await database<Row[]>`select to_regclass('stint.schema_version') is not null as found`;
  if (!bool(table, 'found')) return null;
  return parseSchemaVersion(
    await database<Row[]>`select version, serves_from from stint.schema_version where shard = ${ONLY_SHARD}::smallint`,
  );
}

function parseSchemaVersion([row]: readonly Row[]): SchemaVersion | null {
  return row === undefined ? null : { version: int(row, 'version'), servesFrom: int(row, 'serves_from') };
}

/** Why a release must not serve on these tables, and how to mend that; null where it may. */
export function judgeSchema(found: SchemaVersion | null, { schemaVersion }: Release): UnfitServerError | null {
  if (found === null || found.version < schemaVersion) {
    const told = found === null ? 'has no schema of Stint, or a very old one' : `has schema version ${found.version}`;
    return new UnfitServerError(`the database ${told}, and this release needs ${schemaVersion}: run the migrations of this release first`);
  }
  if (found.servesFrom <= schemaVersion) return null;
  return new UnfitServerError(
    `the database has schema version ${found.version}, on which releases from schema version ${found.servesFrom} on work, and this one knows ${schemaVersion}: start a newer release`,
  );
}
