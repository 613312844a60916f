import { copyFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/embedded/command.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import type { Settings } from '../../src/embedded/settings.ts';
import { administer } from './administration.ts';
import { findLastingPort } from './lasting-port.ts';
import { chosenBinaries } from './postgres-binaries.ts';

/** Where the service keeps the password of its cluster. */
const PASSWORD_FILE = 'postgres/stint.password';

interface Place {
  /** Holds the cluster and nothing else; goes with it. */
  readonly dataDir: string;
  readonly port: number;
  /** They go before the service's own. */
  readonly settings: Settings;
}

/**
 * A durable Postgres of a test's own, on a port that stays the same: it is stopped, killed and started again like one
 * that somebody operates. It also stops when this process ends.
 */
export class PostgresServer {
  #place: Place;
  #running: EmbeddedPostgres | null = null;
  #url = '';

  private constructor(place: Place) {
    this.#place = place;
  }

  /** With a new cluster, started. */
  static async create(settings: Settings = {}): Promise<PostgresServer> {
    return await PostgresServer.#at({ dataDir: makeFolder(), port: await findLastingPort(), settings });
  }

  static async #at(place: Place): Promise<PostgresServer> {
    const server = new PostgresServer(place);
    await server.start();
    return server;
  }

  /** Of the superuser, and of the database that initdb makes. */
  get url(): string {
    return this.#url;
  }

  /** Resolves when it takes connections; after a kill that is after the recovery. */
  async start(): Promise<void> {
    const binaries = await chosenBinaries();
    const options = { ...this.#place, log: () => undefined, ...(binaries === null ? {} : { binaries }) };
    this.#running = await startEmbeddedPostgres(options);
    this.#url = this.#running.url;
  }

  /** A fast shutdown: ends all sessions, writes a checkpoint. Resolves when it has ended. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = null;
    await running?.stop();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Started again on the port of one that is down, and with its password: the clients of that one meet this one. */
  async takePlaceOf(former: PostgresServer): Promise<void> {
    const { dataDir, port } = former.#place;
    if (new URL(this.#url).password !== new URL(former.#url).password) {
      await administer(this.#url, `alter role current_user password '${new URL(former.#url).password}'`);
      copyFileSync(join(dataDir, PASSWORD_FILE), join(this.#place.dataDir, PASSWORD_FILE));
    }
    await this.stop();
    this.#place = { ...this.#place, port };
    await this.start();
  }

  /** SIGKILL to the postmaster and all its children, as when power fails, but for what the kernel has taken over. */
  async kill(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    // Listed while the postmaster lives: an orphan has another parent, and may still write something before it ends.
    const children = await childrenOf(running.pid);
    for (const pid of [running.pid, ...children]) killNow(pid);
    await running.exited;
  }

  /**
   * A server that follows this one by streaming, until somebody promotes it. Made from a cold copy, so this one is
   * stopped and started once.
   */
  async standby(settings: Settings = {}): Promise<PostgresServer> {
    const dataDir = makeFolder();
    await this.stop();
    cpSync(this.#place.dataDir, dataDir, { recursive: true });
    await this.start();
    writeFileSync(join(dataDir, 'postgres/standby.signal'), '');
    const { hostname, port, username, password } = new URL(this.#url);
    const primary_conninfo = `host=${hostname} port=${port} user=${username} password=${password}`;
    const following = { ...this.#place.settings, primary_conninfo, ...settings };
    return await PostgresServer.#at({ dataDir, port: await findLastingPort(), settings: following });
  }

  /** Stops it and takes its files away. */
  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#place.dataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}

function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), 'stint-postgres-'));
}

async function childrenOf(parent: number): Promise<readonly number[]> {
  const { stdout } = await run({ file: 'ps', args: ['-A', '-o', 'pid=,ppid='] });
  const pairs = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.flatMap(([pid, ppid]) => (ppid === parent && pid !== undefined ? [pid] : []));
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}
