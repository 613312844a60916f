import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import { migrate } from '../../src/repository/migrate.ts';
import { query } from '../embedded/starter.ts';
import { startProcess } from '../ops/service-process.ts';
import { createDatabase } from '../support/database.ts';
import { binariesIn } from '../support/postgres-binaries.ts';

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
