import { execFile, type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import journal from '../../src/repository/migrations/meta/_journal.json' with { type: 'json' };
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { buildService } from '../support/service-process.ts';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'dist/src/main.js');
const latest = journal.entries.at(-1)?.idx ?? 0;

function stint(words: readonly string[], databaseUrl = '', settings: Readonly<Record<string, string>> = {}): SpawnSyncReturns<string> {
  const env = { PATH: process.env['PATH'] ?? '', DATABASE_URL: databaseUrl, ...settings };
  return spawnSync(process.execPath, [main, ...words], { cwd: root, env, encoding: 'utf8' });
}

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await createDatabase('template template0');
  onTestFinished(database.drop);
  return database;
}

const schemasOf = async ({ sql }: TestDatabase) => await sql`select 1 from pg_namespace where nspname like 'stint%'`;

describe('the command migrate', () => {
  beforeAll(buildService);

  it('brings an empty database up to date, tells so in one line, and has nothing to do after that', async () => {
    const database = await emptyDatabase();
    const first = stint(['migrate'], database.url);
    expect(first).toMatchObject({ status: 0, stderr: '' });
    expect(first.stdout).toMatch(
      new RegExp(`^stint: the schema in \\S+ went from nothing to version ${latest} by ${latest + 1} migrations: 0000_\\w+, .*\\n$`),
    );
    expect(await database.sql`select version from stint.schema_version`).toEqual([{ version: latest }]);
    const second = stint(['migrate'], database.url);
    expect(second).toMatchObject({ status: 0, stderr: '' });
    expect(second.stdout).toMatch(new RegExp(`^stint: the schema in \\S+ is version ${latest}: nothing is pending\\n$`));
  });

  it('listens to nobody, so that it takes the addresses of an image as they are', async () => {
    const database = await emptyDatabase();
    expect(stint(['migrate'], database.url, { STINT_LISTEN: '0.0.0.0:50051' })).toMatchObject({ status: 0, stderr: '' });
    expect(stint([], database.url, { STINT_LISTEN: '0.0.0.0:50051' })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('STINT_INSECURE'),
    });
  });

  it('looks with --check, changes nothing, and ends with 3 while something is pending', async () => {
    const database = await emptyDatabase();
    const before = stint(['migrate', '--check'], database.url);
    expect(before).toMatchObject({ status: 3, stderr: '' });
    expect(before.stdout).toContain(`needs ${latest + 1} migrations from nothing to version ${latest}`);
    expect(await schemasOf(database)).toEqual([]);
    expect(stint(['migrate'], database.url).status).toBe(0);
    expect(stint(['migrate', '--check'], database.url)).toMatchObject({ status: 0, stdout: expect.stringContaining('nothing is pending') });
  });

  it('applies what is pending once where several run at a time', async () => {
    const database = await emptyDatabase();
    const env = { PATH: process.env['PATH'] ?? '', DATABASE_URL: database.url };
    const migrate = async () => (await promisify(execFile)(process.execPath, [main, 'migrate'], { cwd: root, env })).stdout;
    const lines = await Promise.all([migrate(), migrate(), migrate()]);
    expect(lines.filter((line) => line.includes('went from nothing'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('nothing is pending'))).toHaveLength(2);
  });

  it('refuses in one line, and ends with 1, where there is no database to migrate', async () => {
    const nowhere = stint(['migrate'], 'postgres://nobody@127.0.0.1:1/none');
    expect(nowhere).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/^stint: DATABASE_URL: nothing listens at .*\n$/),
    });
    const unsaid = stint(['migrate']);
    expect(unsaid).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/^stint: DATABASE_URL must say what to migrate.*\n$/),
    });
  });

  it.each([['migrat'], ['migrate', '--chek'], ['migrate', 'down'], ['--help']])('tells its usage for %s, and ends with 2', (...words) => {
    const { status, stderr, stdout } = stint(words, 'postgres://nobody@127.0.0.1:1/none');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^usage: main\.js /);
  });
});
