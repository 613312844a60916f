import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import { migrate } from '../../src/repository/migrate.ts';
import { administer, databaseUrl, TEMPLATE } from './administration.ts';
import { Pgbouncer } from './pgbouncer.ts';
import { chosenBinaries } from './postgres-binaries.ts';
import { type Replica, startReplicas } from './replicas.ts';
import { buildService } from './service-process.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    postgresUrl: string;
    /** Of the service that the contract is held against, or of its replicas, divided by commas. Empty: each file starts its own. */
    stintAddress: string;
    /** The workers of the contract talk over `Work`, as far as it goes. */
    stintOverWork: boolean;
    /** For what a test process keeps from one file to the next; it goes with the run. */
    scratchFolder: string;
  }
}

/**
 * One real Postgres for the whole run, without durability: the tests that need that start their own. The contract's tests are
 * held against the service at STINT_ADDRESS, or against as many processes as STINT_REPLICAS says, where one is set, and over
 * `Work` where STINT_WORK is 1. STINT_TEST_POOLER puts pgbouncer before the database of those: the `only` way to it, or with a `direct` one
 * beside it. Returns the teardown.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stint-test-'));
  const server = await startServer(dataDir);
  await administer(server.url, `create database ${TEMPLATE}`);
  await migrate(databaseUrl(server.url, TEMPLATE));
  const { replicas, pooler } = await startWantedReplicas(server.url);
  project.provide('postgresUrl', server.url);
  project.provide('scratchFolder', dataDir);
  project.provide('stintAddress', process.env['STINT_ADDRESS'] ?? replicas.map(({ address }) => address).join(','));
  project.provide('stintOverWork', process.env['STINT_WORK'] === '1');
  return async () => {
    const codes = await Promise.all(replicas.map((replica) => replica.terminate()));
    await pooler?.stop();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
    if (codes.some((code) => code !== 0)) throw new Error(`the replicas ended with ${codes.join(', ')}`);
  };
}

async function startServer(dataDir: string): Promise<EmbeddedPostgres> {
  const binaries = await chosenBinaries();
  if (binaries !== null) console.log(`The tests run on Postgres ${binaries.version} of ${binaries.folder}.`);
  return await startEmbeddedPostgres({
    dataDir,
    durable: 'off',
    log: () => undefined,
    settings: { max_connections: '300' },
    ...(binaries === null ? {} : { binaries }),
  });
}

interface Wanted {
  readonly replicas: readonly Replica[];
  readonly pooler: Pgbouncer | null;
}

/** Over a database of their own. */
async function startWantedReplicas(serverUrl: string): Promise<Wanted> {
  const wanted = process.env['STINT_REPLICAS'] ?? '';
  const way = process.env['STINT_TEST_POOLER'] ?? '';
  if (wanted === '') return { replicas: [], pooler: null };
  const count = Number(wanted);
  if (!Number.isInteger(count) || count < 1) throw new Error(`STINT_REPLICAS must be a number of replicas, not ${wanted}`);
  console.log(`The contract is held against ${count} replicas${way === '' ? '' : ' behind pgbouncer'}.`);
  buildService();
  await administer(serverUrl, `create database replicas template ${TEMPLATE}`);
  const url = databaseUrl(serverUrl, 'replicas');
  if (way === '') return { replicas: await startReplicas(url, count), pooler: null };
  const pooler = await Pgbouncer.before(url, { poolSize: 8 });
  const direct: Record<string, string> = way === 'direct' ? { STINT_DIRECT_DATABASE_URL: url } : {};
  return { replicas: await startReplicas(pooler.url, count, { STINT_POOLER: 'transaction', ...direct }), pooler };
}
