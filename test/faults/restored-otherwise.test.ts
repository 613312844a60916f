/** What is restored otherwise: a dump of long ago, one in its own cluster, a copy of the files, and a dump while no replica is there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statusOf } from '../../examples/call.ts';
import { reasonOf, type Stint } from '../contract/stint.ts';
import { administer, connected, databaseUrl } from '../support/administration.ts';
import { type Dump, takeDump } from '../support/dump.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { expectWholeHistory, FormerReaders } from './former-history.ts';
import { NAMESPACE, Succession } from './succession.ts';

const namespace = NAMESPACE;
/** Callers of each replica. */
const CALLERS = 8;
const PAUSE_MS = 5;
const LIMIT_MS = 120_000;

/** As a dump of a month ago: its jobs have all been pruned since, its queues are there. */
async function age(url: string): Promise<void> {
  await connected(url, async (sql) => {
    const partitions = await sql<
      { name: string }[]
    >`select oid::regclass::text as name from pg_class where relispartition and relkind = 'r'`;
    for (const { name } of partitions) await sql.unsafe(`drop table ${name}`);
    await sql`truncate stint.ready, stint.lease, stint.deferred, stint.idem, stint.dead_letter`;
    await sql`select stint.ensure_partitions(now() - interval '31 days', now() - interval '28 days')`;
  });
}

/** Restores into another database of the same server; gives what lets it take the name of the dumped one. */
async function restoreBeside(url: string, dump: Dump): Promise<() => Promise<void>> {
  const name = new URL(url).pathname.slice(1);
  await administer(url, 'create database restored');
  await dump.restoreInto(databaseUrl(url, 'restored'));
  return async () => {
    const elsewhere = databaseUrl(url, 'template1');
    await administer(elsewhere, `alter database ${name} allow_connections false`);
    await administer(elsewhere, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
    await administer(elsewhere, `alter database ${name} rename to former`);
    await administer(elsewhere, `alter database restored rename to ${name}`);
  };
}

/** The statement that the manual gives to operators. */
function sayingSo(): string {
  const manual = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
  return /-c "(update [^"]+)"/.exec(manual)?.[1] ?? expect.unreachable();
}

/** Enqueues all the time, until the signal. Gives the status codes that it was answered with. */
async function enqueueAllTheTime(stint: Stint, signal: AbortSignal): Promise<Set<string>> {
  const codes = new Set<string>();
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!signal.aborted) {
      const code = await stint.enqueue({ namespace: 'busy', job: { queue: 'q', type: 't' } }).then(() => status.OK, statusOf);
      codes.add(code === null ? 'no status' : (status[code] ?? String(code)));
      await delay(PAUSE_MS);
    }
  });
  await Promise.all(callers);
  return codes;
}

/** Callers of all replicas while something is done to the database; they are told only that it is away. */
async function whileCalled(on: Succession, work: () => Promise<void>): Promise<void> {
  const done = new AbortController();
  const codes = on.stints.map((stint) => enqueueAllTheTime(stint, done.signal));
  await work().finally(() => done.abort());
  for (const seen of await Promise.all(codes)) {
    expect([...seen].filter((code) => !['OK', 'UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(code))).toEqual([]);
    expect(seen).toContain('OK');
  }
}

describe('a database is restored', () => {
  let on: Succession;

  beforeAll(async () => {
    on = await Succession.over(await PostgresServer.create());
  }, LIMIT_MS);
  afterAll(async () => await on.end());

  it('from a dump that is older than all partitions: there are new ones before anybody writes', { timeout: LIMIT_MS }, async () => {
    await on.enqueue('busy');
    const restored = await on.restoreAside();
    await age(restored.url);
    await whileCalled(on, async () => {
      await on.swapTo(restored);
      await on.untilServed('a restore of long ago');
    });
  });

  it('from a dump in its own cluster: the history is another one there too', { timeout: LIMIT_MS }, async () => {
    await on.enqueue('own');
    const { jobId, leaseToken } = await on.claim('own');
    await on.anyone().release({ leaseToken });
    const dump = await takeDump(on.server.url);
    const lost = await on.claim('own');
    const readers = new FormerReaders(on.stints, { namespace, queue: 'own', jobId });
    await readers.keepCursors();
    const swap = await restoreBeside(on.server.url, dump);
    await whileCalled(on, async () => {
      await swap();
      await on.untilServed('a restore into the same cluster');
    });
    await readers.expectEnded();
    await readers.expectExpired();
    expect(await reasonOf(on.anyone().ack({ leaseToken: lost.leaseToken }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    expect((await on.claim('own')).job.fence).toBeGreaterThan(lost.job.fence);
  });

  it('from a copy of its files, and an operator says so: another history begins', { timeout: LIMIT_MS }, async () => {
    await on.enqueue('copied');
    const { jobId, leaseToken, job } = await on.claim('copied');
    await on.anyone().release({ leaseToken });
    const readers = new FormerReaders(on.stints, { namespace, queue: 'copied', jobId });
    await readers.keepCursors();
    await administer(on.server.url, sayingSo());
    await readers.expectEnded();
    await readers.expectExpired();
    expect((await on.claim('copied')).job.fence >> 32n).toBeGreaterThan(job.fence >> 32n);
  });

  it('from a dump while the service is stopped: it goes on with the leases, and refuses the cursors', { timeout: LIMIT_MS }, async () => {
    const [job, claimed] = [await on.enqueue('kept'), await on.claim('kept')];
    await on.enqueue('handed');
    const handed = await on.claim('handed');
    await on.anyone().release({ leaseToken: handed.leaseToken });
    const readers = new FormerReaders(on.stints, { namespace, queue: 'kept', jobId: job.jobId });
    await readers.keepCursors();
    for (const replica of on.replicas) expect(await replica.terminate()).toBe(0);
    await on.swapTo(await on.restoreAside());
    for (const replica of on.replicas) await replica.restart();
    await on.untilServed('a restore while the service was stopped');
    await readers.expectExpired();
    await on.anyone().ack({ leaseToken: claimed.leaseToken });
    expect((await on.claim('handed')).job.fence).toBeGreaterThan(handed.job.fence);
    for (const stint of on.stints) await expectWholeHistory(stint, namespace);
  });
});
