import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres, { type Sql } from 'postgres';
import { startEmbeddedPostgres } from '../src/embedded/embedded-postgres.ts';
import { BenchProcess, ownProgram } from './bench-process.ts';
import { isPeer, type Peer, PEERS, serviceOf, type Variant } from './cells.ts';
import { programOf } from './peer-programs.ts';
import { Replicas } from './replicas.ts';

/** Everything a measurement needs, running. */
export interface Stage {
  /** A look at the cluster beside the load. */
  readonly sql: Sql;
  readonly postgresVersion: string;
  /** What a commit waits for, the same for all who are measured. */
  readonly settings: Readonly<Record<string, string>>;
  readonly postgresPid: number;
  readonly clients: readonly BenchProcess[];
  /** Measures latency beside the load of the clients. */
  readonly probe: BenchProcess;
  /** Lays in jobs, beside the load that is its own. */
  readonly pipeline: BenchProcess;
  /** None of one that was not asked for. */
  readonly peers: Readonly<Record<Peer, readonly BenchProcess[]>>;
  /** Null: not asked for. */
  readonly cheap: BenchProcess | null;
  readonly services: Readonly<Record<'service' | 'ungrouped', BenchProcess>>;
  /** Of the service; it is the first of them, and the only one unless more are wanted. */
  readonly replicas: Replicas;
  /** Each variant works in a database of its own. */
  readonly databaseOf: (variant: Variant) => string;
  stop(): Promise<void>;
}

export interface StageOptions {
  readonly clients: number;
  /** Where the service leaves its CPU profile; null takes none. */
  readonly profileFolder: string | null;
  /** What is going to be measured: only what it takes is started. */
  readonly variants: ReadonlySet<Variant>;
  /** The program of the client that costs little; null: there is none. */
  readonly cheapProgram: string | null;
  /** Settings of Postgres beside the service's own. */
  readonly postgresSettings?: Readonly<Record<string, string>>;
}

/** Starts a durable Postgres in a temporary folder, a service of each kind, and the processes that load them. */
export async function setStage({ clients, profileFolder, variants, cheapProgram, postgresSettings }: StageOptions): Promise<Stage> {
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
  const startSome = (count: number, name: string, program: string, node = process.execPath) =>
    Promise.all(Array.from({ length: count }, (_, number) => start(`${name} ${number + 1}`, program, { node })));
  const startPeer = async (peer: Peer) => {
    if (!variants.has(peer)) return [];
    const { program, node, processes } = programOf(peer);
    return startSome(processes, peer, program, node);
  };
  try {
    // By the times of commits it is told how long it takes from there until a subscriber knows.
    const settings = { track_commit_timestamp: 'on', ...postgresSettings };
    const cluster = await startEmbeddedPostgres({ dataDir, settings, log: () => undefined });
    opened.push(() => cluster.stop());
    const sql = postgres(cluster.url, { max: 1, onnotice: () => undefined });
    opened.push(() => sql.end({ timeout: 5 }));
    for (const name of ['service', 'ungrouped', 'raw', ...PEERS]) await sql`create database ${sql(name)}`;
    const databaseOf = (variant: Variant) => databaseUrl(cluster.url, isPeer(variant) ? variant : (serviceOf(variant) ?? 'raw'));
    const profile = profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
    const service = ownProgram('service');
    const startReplica = (number: number) =>
      BenchProcess.start(`service ${number}`, service, { args: [databaseOf('service'), 'service'], flags: number === 1 ? profile : [] });
    const replicas = new Replicas(startReplica);
    opened.push(() => replicas.set(0));
    await replicas.set(1);
    const [first] = replicas.running;
    if (first === undefined) throw new Error('the service does not run');
    return {
      sql,
      postgresVersion: (await sql`show server_version`)[0]?.['server_version'],
      settings: await readSettings(sql),
      postgresPid: cluster.pid,
      services: {
        service: first,
        ungrouped: await start('ungrouped', service, { args: [databaseOf('ungrouped'), 'ungrouped'] }),
      },
      replicas,
      pipeline: await start('raw pipeline', ownProgram('pipeline')),
      probe: await start('probe', ownProgram('client')),
      clients: await startSome(clients, 'client', ownProgram('client')),
      peers: {
        graphile: await startPeer('graphile'),
        'pg-boss': await startPeer('pg-boss'),
        'skip-locked': await startPeer('skip-locked'),
      },
      cheap: cheapProgram === null ? null : await start('cheap client', ownProgram('cheap-client'), { args: [cheapProgram] }),
      databaseOf,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function readSettings(sql: Sql): Promise<Stage['settings']> {
  const names = ['fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method', 'shared_buffers', 'max_wal_size'];
  const rows = await sql`select name, current_setting(name) as value from pg_settings where name = any(${names}::text[]) order by name`;
  return Object.fromEntries(rows.map(({ name, value }) => [String(name), String(value)]));
}

function databaseUrl(clusterUrl: string, name: string): string {
  const url = new URL(clusterUrl);
  url.pathname = `/${name}`;
  return url.href;
}
