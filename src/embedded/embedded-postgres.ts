import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Account, type Caller, chooseAccount, readCaller } from './account.ts';
import { type Binaries, locateBinaries } from './binaries.ts';
import { accountMissing, createCluster, giveCluster, readPassword } from './cluster.ts';
import { type DataFolder, openDataFolder } from './data-folder.ts';
import { loopback } from './free-port.ts';
import { chooseRunner } from './runner.ts';
import type { Settings } from './settings.ts';
import { startServer, type StartedServer } from './start-server.ts';

export interface EmbeddedPostgresOptions {
  /** Made when it is missing; a relative path counts from the working folder. */
  readonly dataDir: string;
  /** On the loopback. Default: any that is free. */
  readonly port?: number;
  /** `off` gives up every promise about crashes, for tests. Default: `on`. */
  readonly durable?: 'on' | 'off';
  /** Gets the lines that Postgres writes to its log; none of them holds a statement or its values. */
  readonly log: (line: string) => void;
  /** Postgres settings that go before the service's own. */
  readonly settings?: Settings;
  /** Another Postgres than the packaged one. */
  readonly binaries?: Binaries;
}

export interface EmbeddedPostgres {
  /** Holds the password: never to be logged. */
  readonly url: string;
  readonly pid: number;
  readonly majorVersion: string;
  /** Settles when the server is gone, by `stop` or by a death of its own. */
  readonly exited: Promise<void>;
  /** Ends all sessions, shuts down cleanly and waits for the exit. Calling it again waits for the same exit. */
  stop(): Promise<void>;
}

/** A fast shutdown writes one checkpoint; after this time it is cut short, and the next start recovers. */
const FAST_SHUTDOWN_LIMIT_MS = 30_000;

/**
 * Starts the packaged Postgres on a data folder and keeps it on a leash: it stops when this process ends, however
 * that happens. First start about a second, later ones a tenth. Every refusal is an `EmbeddedPostgresError`.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const durable = options.durable !== 'off';
  const binaries = options.binaries ?? (await locateBinaries());
  const folder = await openDataFolder(resolve(options.dataDir), binaries.majorVersion);
  const caller = readCaller();
  if (caller.kind === 'nameless' && folder.clusterOwner === null) throw accountMissing();
  const runner = await chooseRunner({ binaries, dataDir: folder.path, account: await accountFor(caller, folder) });
  if (folder.clusterOwner === null) await createCluster({ folder, runner, durable });
  if (runner.owner !== null) await giveCluster(folder.clusterDir, runner.owner);
  const password = await readPassword(folder.clusterDir);
  const { clusterDir } = folder;
  const { log, port = null, settings = {} } = options;
  const started = await startServer({ runner, clusterDir, port, durable, settings, log });
  return {
    url: `postgres://postgres:${password}@${loopback}:${started.port}/postgres`,
    pid: started.pid,
    majorVersion: binaries.majorVersion,
    exited: started.server.exited.then(() => undefined),
    stop: async () => await stopServer(started),
  };
}

async function accountFor(caller: Caller, folder: DataFolder): Promise<Account | null> {
  return caller.kind === 'root' ? await chooseAccount(folder.clusterOwner) : null;
}

async function stopServer({ server }: StartedServer): Promise<void> {
  server.signal('INT');
  const limit = new AbortController();
  const cutShort = async (): Promise<void> => {
    await delay(FAST_SHUTDOWN_LIMIT_MS, undefined, { signal: limit.signal });
    server.signal('QUIT');
  };
  const overdue = cutShort().catch(() => undefined);
  await server.exited;
  limit.abort();
  await overdue;
}
