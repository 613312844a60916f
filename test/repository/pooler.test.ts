import { status } from '@grpc/grpc-js';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Database } from '../../src/repository/database.ts';
import { statement } from '../../src/repository/statement.ts';
import { connect, held } from '../contract/stint.ts';
import { startProcess } from '../ops/service-process.ts';
import { administer } from '../support/administration.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { findPgbouncer, Pgbouncer } from '../support/pgbouncer.ts';
import { PostgresServer } from '../support/postgres-server.ts';

const LONG = { timeout: 60_000, interval: 50 };

const settings = [
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'plan_cache_mode',
  'enable_seqscan',
  'enable_bitmapscan',
];
const dropped = [...settings, 'enable_mergejoin', 'enable_hashjoin', 'jit'].join(',');

const tellSettings = statement<never>(
  'tell-settings',
  sql`select name, setting from pg_settings where name in ('lock_timeout', 'enable_seqscan', 'plan_cache_mode', 'statement_timeout') order by name`,
);

if (findPgbouncer() === null) console.log('Nothing is tested behind pgbouncer, for there is none: apt-get install pgbouncer');

describe.skipIf(findPgbouncer() === null)('behind a pooler that lends a session for a transaction', () => {
  let database: TestDatabase;
  let pooler: Pgbouncer;
  beforeAll(async () => {
    database = await createDatabase();
    // Fewer sessions than a replica has connections: they are lent to and fro.
    pooler = await Pgbouncer.before(database.url, { poolSize: 3 });
  });
  afterAll(async () => {
    await pooler.stop();
    await database.drop();
  });

  const serve = async (environment: Record<string, string>) => {
    const service = startProcess({ STINT_LOG_LEVEL: 'warn', DATABASE_URL: pooler.url, STINT_POOLER: 'transaction', ...environment });
    const serving = await service.serving;
    if (serving === null) throw new Error((await service.ended).log);
    const stint = connect(serving.grpc);
    onTestFinished(() => stint.close());
    return stint;
  };

  it('each statement has its settings, and leaves none behind', async () => {
    const pooled = new Database({ url: pooler.url, connections: 4, applicationName: 'pooled', settings: 'hot', session: 'lends' });
    onTestFinished(() => pooled.close());
    const told = await Promise.all(Array.from({ length: 8 }, () => pooled.run(tellSettings, {})));
    for (const rows of told) {
      expect(rows.map(({ setting }) => setting)).toEqual(['off', '250', 'force_generic_plan', '10000']);
    }
    const bare = new Database({ url: pooler.url, connections: 1, applicationName: 'bare', settings: 'hot', session: 'lends_bare' });
    onTestFinished(() => bare.close());
    expect((await bare.run(tellSettings, {})).map(({ setting }) => setting)).toEqual(['on', '0', 'auto', '0']);
  });

  it.each([
    ['and can be gone round', true],
    ['and is the only way', false],
  ])('two replicas do the work of each other, where it lends %s', async (_, direct) => {
    const way: Record<string, string> = direct ? { STINT_DIRECT_DATABASE_URL: database.url } : {};
    const [one, other] = await Promise.all([serve(way), serve(way)]);
    const queue = `q-${direct}`;
    const waiting = other.claim({ queues: [queue], workerId: 'w', maxJobs: 3, wait: { seconds: 20n, nanos: 0 } });
    const { job } = await one.enqueue({ job: { queue, payload: Buffer.from('by a pooler') } });
    const [claimed] = (await waiting).jobs;
    expect(claimed?.job?.jobId).toBe(job?.jobId);
    await one.ack({ leaseToken: held(claimed).leaseToken });
    expect((await other.checkInvariants({})).violations).toEqual([]);
  });

  it('nobody is answered by a standby that is not promoted', async () => {
    const primary = await PostgresServer.create();
    onTestFinished(() => primary.remove());
    const standby = await primary.standby();
    onTestFinished(() => standby.remove());
    const before = await Pgbouncer.before(standby.url);
    onTestFinished(() => before.stop());
    const pooled = new Database({ url: before.url, connections: 1, applicationName: 'pooled', settings: 'plain', session: 'lends' });
    onTestFinished(() => pooled.close());
    await expect(pooled.run(tellSettings, {})).rejects.toMatchObject({ kind: 'unavailable', message: 'the database is a standby' });
  });

  it('a fail-over is noticed: what comes next is of another epoch', { timeout: 120_000 }, async () => {
    const primary = await PostgresServer.create();
    onTestFinished(() => primary.remove());
    const standby = await primary.standby();
    onTestFinished(() => standby.remove());
    const before = await Pgbouncer.before(primary.url);
    onTestFinished(() => before.stop());
    const stint = await serve({ DATABASE_URL: before.url });
    await stint.enqueue({ job: { queue: 'before', payload: Buffer.from('x') } });
    const { jobs } = await stint.claim({ queues: ['before'], workerId: 'w' });
    const [written] = await administer(primary.url, 'select pg_current_wal_lsn()::text as lsn');
    const isThere = `select pg_last_wal_replay_lsn() >= '${written?.['lsn']}' as reached`;
    await vi.waitFor(async () => expect(await administer(standby.url, isThere)).toEqual([{ reached: true }]), LONG);

    await primary.kill();
    await standby.takePlaceOf(primary);
    await expect(stint.getJob({ jobId: held(jobs[0]).jobId })).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await administer(standby.url, 'select pg_promote(true, 60)');
    const again = { queue: 'after', idempotencyKey: 'once', payload: Buffer.from('x') };
    await vi.waitFor(async () => await stint.enqueue({ job: again }), LONG);
    await stint.ack({ leaseToken: held(jobs[0]).leaseToken });
    expect(await administer(standby.url, 'select timeline from stint.epoch order by number')).toEqual([
      { timeline: '00000001' },
      { timeline: '00000002' },
    ]);
  });

  it('a service that was not told of it says what to set, whether the pooler refuses or drops the settings of a session', async () => {
    const silent = await Pgbouncer.before(database.url, { passesOver: dropped });
    onTestFinished(() => silent.stop());
    for (const url of [pooler.url, silent.url]) {
      const { serving, ended } = startProcess({ DATABASE_URL: url });
      expect(await serving).toBeNull();
      const line = expect.stringMatching(/^stint: DATABASE_URL: .*pooler.*STINT_POOLER=transaction/);
      expect(await ended).toMatchObject({ code: 1, refusals: [line] });
    }
  });

  it('a way round it that is none, or leads nowhere, is refused by its name', async () => {
    for (const url of [pooler.url, 'postgres://nobody@127.0.0.1:1/none']) {
      const way = { DATABASE_URL: pooler.url, STINT_POOLER: 'transaction', STINT_DIRECT_DATABASE_URL: url };
      const { serving, ended } = startProcess(way);
      expect(await serving).toBeNull();
      const line = expect.stringMatching(/^stint: STINT_DIRECT_DATABASE_URL: (a pooler at|nothing listens at) /);
      expect(await ended).toMatchObject({ code: 1, refusals: [line] });
    }
  });
});
