import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres, { type Sql } from 'postgres';
import { startEmbeddedPostgres } from '../src/embedded/embedded-postgres.ts';
import { BenchProcess } from './bench-process.ts';
import { serviceOf, type Variant } from './cells.ts';

/** Everything a measurement needs, running. */
export interface Stage {
  /** A look at the cluster beside the load. */
  readonly sql: Sql;
  readonly postgresVersion: string;
  readonly postgresPid: number;
  readonly clients: readonly BenchProcess[];
  /** Measures latency beside the load of the clients. */
  readonly probe: BenchProcess;
  readonly pipeline: BenchProcess;
  readonly services: Readonly<Record<'service' | 'ungrouped', BenchProcess>>;
  /** Each variant works in a database of its own. */
  readonly databaseOf: (variant: Variant) => string;
  stop(): Promise<void>;
}

export interface StageOptions {
  readonly clients: number;
  /** Where the service leaves its CPU profile; null takes none. */
  readonly profileFolder: string | null;
}

/** Starts a durable Postgres in a temporary folder, a service of each kind, and the processes that load them. */
export async function setStage({ clients, profileFolder }: StageOptions): Promise<Stage> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stint-bench-'));
  const opened: (() => Promise<void>)[] = [async () => rmSync(dataDir, { recursive: true, force: true })];
  const stop = async () => {
    for (const close of opened.splice(0).toReversed()) await close();
  };
  const start = async (...given: Parameters<typeof BenchProcess.start>): Promise<BenchProcess> => {
    const started = await BenchProcess.start(...given);
    opened.push(() => started.stop());
    return started;
  };
  try {
    // By the times of commits it is told how long it takes from there until a subscriber knows.
    const cluster = await startEmbeddedPostgres({ dataDir, settings: { track_commit_timestamp: 'on' }, log: () => undefined });
    opened.push(() => cluster.stop());
    const sql = postgres(cluster.url, { max: 1, onnotice: () => undefined });
    opened.push(() => sql.end({ timeout: 5 }));
    for (const name of ['service', 'ungrouped', 'raw']) await sql`create database ${sql(name)}`;
    const databaseOf = (variant: Variant) => databaseUrl(cluster.url, serviceOf(variant) ?? 'raw');
    const profile = profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
    return {
      sql,
      postgresVersion: (await sql`show server_version`)[0]?.['server_version'],
      postgresPid: cluster.pid,
      services: {
        service: await start('service', 'service', { args: [databaseOf('service'), 'service'], flags: profile }),
        ungrouped: await start('ungrouped', 'service', { args: [databaseOf('ungrouped'), 'ungrouped'] }),
      },
      pipeline: await start('raw pipeline', 'pipeline'),
      probe: await start('probe', 'client'),
      clients: await Promise.all(Array.from({ length: clients }, (_, number) => start(`client ${number + 1}`, 'client'))),
      databaseOf,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function databaseUrl(clusterUrl: string, name: string): string {
  const url = new URL(clusterUrl);
  url.pathname = `/${name}`;
  return url.href;
}
