/** A logical dump of what the service keeps, and its restore into another cluster. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sql, TransactionSql } from 'postgres';
import { run } from '../../src/embedded/command.ts';
import { migrate } from '../../src/repository/migrate.ts';
import { connected } from './administration.ts';
import { chosenBinaries } from './postgres-binaries.ts';

/** The database as it was at one instant, whatever is written to it later. */
export interface Dump {
  readonly tool: 'pg_dump' | 'rows';
  /** Into a database that holds nothing yet. */
  restoreInto(url: string): Promise<void>;
}

/** By pg_dump where it comes with the Postgres under test. The packaged one has none: there the rows are read and written. */
export async function takeDump(url: string): Promise<Dump> {
  const programs = join((await chosenBinaries())?.folder ?? '', 'bin');
  return existsSync(join(programs, 'pg_dump')) ? await dumpByTool(programs, url) : await dumpByRows(url);
}

async function dumpByTool(programs: string, url: string): Promise<Dump> {
  const folder = mkdtempSync(join(tmpdir(), 'stint-dump-'));
  const file = join(folder, 'dump');
  await tool(join(programs, 'pg_dump'), ['--format=custom', `--file=${file}`, `--dbname=${url}`]);
  return {
    tool: 'pg_dump',
    restoreInto: async (target) => {
      await tool(join(programs, 'pg_restore'), ['--exit-on-error', `--dbname=${target}`, file]);
      rmSync(folder, { recursive: true });
    },
  };
}

async function tool(file: string, args: readonly string[]): Promise<void> {
  const { ok, stderr } = await run({ file, args });
  if (!ok) throw new Error(`${file}: ${stderr}`);
}

/** A table with its rows, each as text of the table's row type. */
interface DumpedTable {
  readonly name: string;
  /** Makes it; null for a table that the migrations make. */
  readonly partition: string | null;
  readonly rows: readonly string[];
}

interface Sequence {
  readonly name: string;
  /** The last number that it gave; null when it gave none. */
  readonly last: string | null;
}

async function dumpByRows(url: string): Promise<Dump> {
  return await connected(url, async (sql) => {
    // One snapshot for all tables, as pg_dump takes it.
    const { tables, sequences } = await sql.begin('isolation level repeatable read read only', async (transaction) => ({
      tables: await readTables(transaction),
      sequences: await transaction<Sequence[]>`
        select format('%I.%I', schemaname, sequencename) as name, last_value::text as last from pg_sequences where schemaname = 'stint'`,
    }));
    return {
      tool: 'rows',
      restoreInto: async (target) => {
        // The schema and the list of migrations are the same in every database.
        await migrate(target);
        await connected(target, async (restored) => await fill(restored, tables, sequences));
      },
    };
  });
}

async function readTables(sql: TransactionSql): Promise<readonly DumpedTable[]> {
  const tables = await sql<{ name: string; partition: string | null }[]>`
    select c.oid::regclass::text as name, case when c.relispartition then
        format('create table %s partition of %s %s with (%s)', c.oid::regclass, i.inhparent::regclass,
          pg_get_expr(c.relpartbound, c.oid), array_to_string(c.reloptions, ', ')) end as partition
      from pg_class c left join pg_inherits i on i.inhrelid = c.oid
     where c.relnamespace = 'stint'::regnamespace and c.relkind = 'r'`;
  const dumped: DumpedTable[] = [];
  for (const table of tables) {
    const rows = await sql.unsafe<{ row: string }[]>(`select t::text as row from ${table.name} t`);
    dumped.push({ ...table, rows: rows.map(({ row }) => row) });
  }
  return dumped;
}

async function fill(sql: Sql, tables: readonly DumpedTable[], sequences: readonly Sequence[]): Promise<void> {
  await sql.begin(async (transaction) => {
    for (const { name, partition, rows } of tables) {
      if (partition !== null) await transaction.unsafe(partition);
      // The migrations have written a row of their own.
      await transaction.unsafe(`delete from ${name}`);
      await transaction.unsafe(`insert into ${name} select (r.row::${name}).* from unnest($1::text[]) as r(row)`, [sql.array([...rows])]);
    }
  });
  for (const { name, last } of sequences) if (last !== null) await sql`select setval(${name}::regclass, ${last}::bigint)`;
}
