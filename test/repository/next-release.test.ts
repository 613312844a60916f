import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type App, startApp } from '../../src/app.ts';
import { createLogger } from '../../src/ops/logging.ts';
import { migrate } from '../../src/repository/migrate.ts';
import { type Release, thisRelease } from '../../src/repository/schema-version.ts';
import { connect, held, type Stint } from '../contract/stint.ts';
import { startProcess } from '../ops/service-process.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { CONTRACTING, EXPANDING, nextRelease } from '../support/next-release.ts';

const LONG = { timeout: 30_000, interval: 20 };
const quiet = createLogger({ level: 'silent' });
const listen = { host: '127.0.0.1', port: 0 };

let now: Release;
let next: Release;
let later: Release;

beforeAll(() => {
  now = thisRelease();
  next = nextRelease(now, { tag: '9998_expand', sql: EXPANDING });
  later = nextRelease(next, { tag: '9999_contract', sql: CONTRACTING });
});
afterAll(() => {
  for (const { migrations } of [next, later]) rmSync(dirname(migrations), { recursive: true });
});

async function ownDatabase(): Promise<TestDatabase> {
  const database = await createDatabase();
  onTestFinished(database.drop);
  return database;
}

/** The release of today, as it is shipped. */
async function serveNow(database: TestDatabase, environment: Record<string, string> = {}) {
  const service = startProcess({ DATABASE_URL: database.url, STINT_LOG_LEVEL: 'warn', ...environment });
  const serving = await service.serving;
  if (serving === null) throw new Error((await service.ended).log);
  return { ...service, stint: client(serving.grpc) };
}

async function serveNext(database: TestDatabase): Promise<{ readonly app: App; readonly stint: Stint }> {
  const app = await startApp({ config: { listen, migrates: false }, databaseUrl: database.url, logger: quiet, release: next });
  onTestFinished(async () => await app.stop());
  return { app, stint: client(app.grpcAddress) };
}

function client(address: string): Stint {
  const stint = connect(address);
  onTestFinished(() => stint.close());
  return stint;
}

/** Jobs that are enqueued by one and done by the other. */
async function exchange(from: Stint, to: Stint, count = 5): Promise<readonly string[]> {
  const jobs = Array.from({ length: count }, () => ({ queue: 'q', payload: Buffer.from('as ever') }));
  const { results } = await from.enqueueBatch({ jobs });
  const claimed = await to.claim({ queues: ['q'], workerId: 'w', maxJobs: count, wait: { seconds: 10n, nanos: 0 } });
  for (const job of claimed.jobs) await to.ack({ leaseToken: held(job).leaseToken });
  expect(claimed.jobs).toHaveLength(count);
  return results.map(({ result }) => (result?.$case === 'job' ? result.job.jobId : 'refused'));
}

describe('the release before', () => {
  it('serves on while the next one migrates, and beside it on its schema', async () => {
    const database = await ownDatabase();
    const before = await serveNow(database, { STINT_MIGRATE: 'false' });
    let isMigrating = true;
    const working = (async () => {
      const done: string[] = [];
      do done.push(...(await exchange(before.stint, before.stint)));
      while (isMigrating);
      return done;
    })();
    const plan = await migrate(database.url, next);
    isMigrating = false;
    expect(plan).toEqual({ from: now.schemaVersion, to: next.schemaVersion, pending: ['9998_expand'] });
    const done = await working;

    const after = await serveNext(database);
    const again = await serveNow(database);
    done.push(
      ...(await exchange(before.stint, after.stint)),
      ...(await exchange(after.stint, before.stint)),
      ...(await exchange(again.stint, after.stint)),
    );
    const states = await database.sql`select count(*)::int as over from stint.terminal where type = 11 and job = any(${done})`;
    expect(states).toEqual([{ over: done.length }]);
    expect((await after.stint.checkInvariants({})).violations).toEqual([]);
    expect(await database.sql`select distinct next_note from stint.job`).toEqual([{ next_note: 'of the next release' }]);
  });

  it('says so, drains and ends with 1 when the schema leaves it behind, and the next one goes on', async () => {
    const database = await ownDatabase();
    await migrate(database.url, next);
    const [before, after] = [await serveNow(database), await serveNext(database)];
    await exchange(before.stint, after.stint);
    await migrate(database.url, later);
    const words = `has schema version ${later.schemaVersion}, on which releases from schema version ${next.schemaVersion} on work, and this one knows ${now.schemaVersion}: start a newer release`;
    const { code, refusals } = await before.ended;
    expect({ code, refusals }).toEqual({ code: 1, refusals: [expect.stringContaining(words)] });
    await exchange(after.stint, after.stint);
    expect(after.app.ready()).toBe(true);

    for (const environment of [{}, { STINT_MIGRATE: 'false' }]) {
      const late = startProcess({ DATABASE_URL: database.url, ...environment });
      expect(await late.serving).toBeNull();
      expect(await late.ended).toMatchObject({ code: 1, refusals: [expect.stringContaining(words)] });
    }
  });
});

describe('a service', () => {
  it('is not ready from when it has seen a schema that is too new', async () => {
    const database = await ownDatabase();
    const told: string[] = [];
    const onUnfit = (refusal: Error) => void told.push(refusal.message);
    const app = await startApp({ config: { listen }, databaseUrl: database.url, logger: quiet, onUnfit });
    onTestFinished(async () => await app.stop());
    expect(app.ready()).toBe(true);
    await migrate(database.url, later);
    await vi.waitFor(() => expect(app.ready()).toBe(false), { timeout: 20_000, interval: 20 });
    expect(told).toEqual([expect.stringContaining('start a newer release')]);
  });

  it.each(['of no release', 'of the release before'])('that leaves the migrations to others refuses a schema %s', async (which) => {
    const isEmpty = which === 'of no release';
    const database = await (isEmpty ? createDatabase('template template0') : createDatabase());
    onTestFinished(database.drop);
    if (!isEmpty) await database.sql`update stint.schema_version set version = version - 1`;
    const { serving, ended } = startProcess({ DATABASE_URL: database.url, STINT_MIGRATE: 'false' });
    expect(await serving).toBeNull();
    const line = expect.stringMatching(
      /the database has (no schema of Stint|schema version \d+), .*run the migrations of this release first$/,
    );
    expect(await ended).toMatchObject({ code: 1, refusals: [line] });
    expect(await database.sql`select 1 from pg_namespace where nspname = 'stint_migrations'`).toHaveLength(isEmpty ? 0 : 1);
  });
});

it('a migration waits for a table without keeping others from it, and goes on when it is free', async () => {
  const database = await ownDatabase();
  const { stint } = await serveNow(database);
  const reader = await database.sql.reserve();
  onTestFinished(() => reader.release());
  await reader`begin`;
  await reader`select 1 from stint.lease`;
  let isOver = false;
  const migrating = migrate(database.url, next).finally(() => (isOver = true));
  // One gets through between two of its tries.
  await vi.waitFor(async () => {
    const waiting = await database.sql`select 1 from pg_locks where not granted and mode = 'AccessExclusiveLock'`;
    expect(waiting).not.toEqual([]);
  }, LONG);
  await vi.waitFor(async () => await exchange(stint, stint, 1), LONG);
  expect(isOver).toBe(false);
  await reader`commit`;
  expect(await migrating).toMatchObject({ to: next.schemaVersion });
});
