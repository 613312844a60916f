import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import { checkSchema, migrate } from '../../src/repository/migrate.ts';
import { query } from '../embedded/starter.ts';
import { startProcess } from '../ops/service-process.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { binariesIn } from '../support/postgres-binaries.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { startService } from '../support/service.ts';

interface Server {
  readonly url: string;
  readonly version: string;
}

/** The test server, in a database where it tells another version: what is asked for by a plain name is found there first. */
async function pretend(number: number): Promise<Server> {
  const version = `${Math.floor(number / 10_000)}.${number % 10_000}`;
  const { url, sql, drop } = await createDatabase('template template0');
  onTestFinished(drop);
  await sql.unsafe(`
    create schema pretence;
    create function pretence.current_setting(name text) returns text language sql as $$
      select case name when 'server_version_num' then '${number}' when 'server_version' then '${version} (Debian)'
                       else pg_catalog.current_setting(name) end $$;
    alter database ${new URL(url).pathname.slice(1)} set search_path = pretence, pg_catalog`);
  return { url, version };
}

/** A real one where its programs are given in STINT_TEST_OLD_POSTGRES_BIN, as CI does; else one that pretends. */
async function oldServer(): Promise<Server> {
  const folder = process.env['STINT_TEST_OLD_POSTGRES_BIN'] ?? '';
  if (folder === '') return await pretend(140_023);
  const binaries = await binariesIn(folder);
  const dataDir = mkdtempSync(join(tmpdir(), 'stint-old-'));
  const server = await startEmbeddedPostgres({ dataDir, durable: 'off', log: () => undefined, binaries });
  onTestFinished(async () => {
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  return { url: server.url, version: binaries.version };
}

const schemasOf = async ({ url }: Pick<Server, 'url'>) =>
  (await query(url, `select nspname from pg_namespace where nspname like 'stint%'`)).map(({ nspname }) => nspname);

describe('a Postgres', () => {
  it('before 15 is refused, and nothing is made there', async () => {
    const server = await pretend(149_999);
    await expect(migrate(server.url)).rejects.toMatchObject({
      kind: 'unfit_server',
      message: expect.stringContaining('Postgres 14.9999,'),
    });
    expect(await schemasOf(server)).toEqual([]);
  });

  it('from 15 on is taken', async () => {
    const server = await pretend(150_000);
    await migrate(server.url);
    expect(await schemasOf(server)).toEqual(expect.arrayContaining(['stint', 'stint_migrations']));
  });

  it.each(['LATIN1', 'SQL_ASCII'])('whose database is encoded in %s is refused, and nothing is made there', async (encoding) => {
    const database = await createDatabase(`template template0 locale_provider libc locale 'C' encoding '${encoding}'`);
    onTestFinished(database.drop);
    await expect(migrate(database.url)).rejects.toMatchObject({
      kind: 'unfit_server',
      message: expect.stringContaining(`in ${encoding},`),
    });
    expect(await schemasOf(database)).toEqual([]);
  });

  it('that is too old ends the process with 1 and one line that names it', async () => {
    const server = await oldServer();
    const { serving, ended } = startProcess({ DATABASE_URL: server.url });
    expect(await serving).toBeNull();
    const { host } = new URL(server.url);
    const line = `stint: DATABASE_URL: ${host}: the server runs Postgres ${server.version}, and Stint needs 15 or newer: upgrade it, or name a newer one`;
    expect(await ended).toMatchObject({ code: 1, refusals: [line], log: `${line}\n` });
    expect(await schemasOf(server)).toEqual([]);
  });
});

describe('a user', () => {
  /** One that may log in and nothing else; it goes with the server. */
  async function newcomer(database: TestDatabase): Promise<{ readonly name: string; readonly url: string }> {
    const name = `user_${randomBytes(4).toString('hex')}`;
    await database.sql.unsafe(`create role ${name} login password 'secret'`);
    const url = new URL(database.url);
    url.username = name;
    url.password = 'secret';
    return { name, url: url.href };
  }

  const refusal = (name: string, words: string) => ({ kind: 'unfit_server', message: expect.stringContaining(`user "${name}" ${words}`) });

  it('who may not make schemas is refused by the right that is missing, and needs no other', async () => {
    const database = await createDatabase('template template0');
    onTestFinished(database.drop);
    const { name, url } = await newcomer(database);
    await expect(migrate(url)).rejects.toMatchObject(refusal(name, 'may not create schemas: grant create on database'));
    expect(await schemasOf(database)).toEqual([]);
    const { pathname } = new URL(url);
    await database.sql.unsafe(`grant create on database ${pathname.slice(1)} to ${name}`);
    const service = await startService({ database: { ...database, url } });
    await service.stop();
    // The tables are there: to serve nothing more is needed.
    await database.sql.unsafe(`revoke create on database ${pathname.slice(1)} from ${name}`);
    await migrate(url);
    await checkSchema(url);
  });

  it('who does not own the tables is refused, and taken as a member of who does', async () => {
    const database = await createDatabase();
    onTestFinished(database.drop);
    const { name, url } = await newcomer(database);
    const { name: owner } = await newcomer(database);
    await database.sql.unsafe(`alter table stint.ready owner to ${owner}`);
    const [first] = await database.sql`select current_user as name`;
    for (const look of [migrate, checkSchema]) {
      await expect(look(url)).rejects.toMatchObject(refusal(name, 'does not own the tables of the schema stint, "'));
    }
    await database.sql.unsafe(`grant "${first?.['name']}", ${owner} to ${name}`);
    await checkSchema(url);
  });

  it('who may not make tables in the schema, or not read the history of the server, is refused by name', async () => {
    const database = await createDatabase();
    onTestFinished(database.drop);
    const { name, url } = await newcomer(database);
    await database.sql.unsafe(`
      do $$ declare one record; begin
        for one in select c.oid::regclass as name, c.relkind from pg_class c where c.relnamespace in ('stint'::regnamespace, 'stint_migrations'::regnamespace) and c.relkind in ('r', 'p') loop
          execute format('alter table %s owner to ${name}', one.name);
        end loop;
        for one in select c.oid::regclass as name from pg_class c where c.relnamespace = 'stint'::regnamespace and c.relkind = 'S'
            and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i')) loop
          execute format('alter sequence %s owner to ${name}', one.name);
        end loop;
      end $$`);
    await expect(checkSchema(url)).rejects.toMatchObject(
      refusal(name, 'may not make tables in the schema stint: grant usage, create on schema stint'),
    );
    await database.sql.unsafe(`grant usage, create on schema stint to ${name}; revoke execute on function pg_control_system() from public`);
    await expect(checkSchema(url)).rejects.toMatchObject(
      refusal(name, 'may not call pg_control_system(): grant execute on function pg_control_system()'),
    );
    await database.sql.unsafe(`grant execute on function pg_control_system() to public`);
    await checkSchema(url);
  });
});

describe('a database', () => {
  it('that only reads by a setting is refused, and not taken for a standby', async () => {
    const database = await createDatabase();
    onTestFinished(database.drop);
    await database.sql.unsafe(`alter database ${new URL(database.url).pathname.slice(1)} set default_transaction_read_only = on`);
    const words = 'transactions only read here, by default_transaction_read_only';
    await expect(migrate(database.url)).rejects.toMatchObject({ kind: 'unfit_server', message: expect.stringContaining(words) });
  });

  it('whose commits do not last is served, with a warning of each setting at the start', async () => {
    const database = await createDatabase();
    onTestFinished(database.drop);
    await database.sql.unsafe(`alter database ${new URL(database.url).pathname.slice(1)} set synchronous_commit = off`);
    const { child, serving, ended } = startProcess({ DATABASE_URL: database.url });
    expect(await serving).not.toBeNull();
    child.kill('SIGTERM');
    const { log } = await ended;
    const warnings = log.split('\n').filter((line) => line.includes('"setting"'));
    // The server of the tests runs without durability.
    expect(warnings.map((line) => /"setting":"(\w+)"/.exec(line)?.[1])).toEqual(['fsync', 'full_page_writes', 'synchronous_commit']);
    expect(warnings.at(-1)).toContain('synchronous_commit is off: a crash of the server loses commits that were answered');
    expect(warnings.every((line) => /"level":("warn"|40)/.test(line))).toBe(true);
  });

  it('whose commits last is served without one', async () => {
    const server = await PostgresServer.create();
    onTestFinished(() => server.remove());
    const { child, serving, ended } = startProcess({ DATABASE_URL: server.url });
    expect(await serving).not.toBeNull();
    child.kill('SIGTERM');
    expect((await ended).log).not.toContain('"setting"');
  });

  it('that is a standby is refused, whether or not there is something to migrate', async () => {
    const primary = await PostgresServer.create();
    onTestFinished(() => primary.remove());
    await migrate(primary.url);
    const standby = await primary.standby();
    onTestFinished(() => standby.remove());
    const words = 'the server is a standby that only reads: give the address of the primary';
    for (const environment of [{}, { STINT_MIGRATE: 'false' }]) {
      const { serving, ended } = startProcess({ DATABASE_URL: standby.url, ...environment });
      expect(await serving).toBeNull();
      expect(await ended).toMatchObject({ code: 1, refusals: [expect.stringContaining(words)] });
    }
  });
});
