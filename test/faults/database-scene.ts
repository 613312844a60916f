import { expect } from 'vitest';
import { checkHistory } from '../support/history/check.ts';
import { Load } from '../support/load/load.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { Replica } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';
import { startWireProxy, type WireProxy } from '../support/wire-proxy.ts';
import { RecoveryWatch } from './recovery.ts';

/** Of a test with a scene, in milliseconds. Far past what it takes, also on a machine that does much else. */
export const LIMIT_MS = 300_000;

/** Jobs that are settled before the fault, and again after it: the load was at work, and is at work again. */
const SETTLED_JOBS = 30;
const SETTLED_WITHIN_MS = 90_000;

export interface Fault {
  readonly name: string;
  /** Resolves when the database is away, or as good as away. */
  readonly breaks: () => Promise<void>;
  /** Resolves when nothing keeps the database from answering. */
  readonly mends: () => Promise<void>;
}

/** Two replicas, each by way of a proxy of its own, over a durable Postgres of their own, under load. */
export class DatabaseScene {
  readonly postgres: PostgresServer;
  readonly proxies: readonly WireProxy[];
  readonly replicas: readonly Replica[];
  readonly load: Load;

  private constructor(parts: Pick<DatabaseScene, 'postgres' | 'proxies' | 'replicas' | 'load'>) {
    this.postgres = parts.postgres;
    this.proxies = parts.proxies;
    this.replicas = parts.replicas;
    this.load = parts.load;
  }

  /** `close` it, whatever comes of it. */
  static async open(settings: Record<string, string> = {}): Promise<DatabaseScene> {
    buildService();
    const postgres = await PostgresServer.create(settings);
    const proxies = await Promise.all([startWireProxy(postgres.url), startWireProxy(postgres.url)]);
    const replicas = await Promise.all(proxies.map(({ url }) => Replica.start(url)));
    const load = await Load.start({ addresses: replicas.map(({ address }) => address), producers: 1, workers: 2 });
    return new DatabaseScene({ postgres, proxies, replicas, load });
  }

  get addresses(): readonly string[] {
    return this.replicas.map(({ address }) => address);
  }

  /** A fault in the midst of the load; tells how soon service was back. */
  async suffer({ name, breaks, mends }: Fault): Promise<void> {
    await this.#atWork();
    const watch = await RecoveryWatch.open(this.addresses);
    try {
      await breaks();
    } finally {
      await Promise.all([watch.untilBack(this.postgres.url, name), mends()]);
    }
    await this.#atWork();
  }

  /** To the end of the load: nothing that anybody was told, and nothing in the database, is wrong. */
  async expectSound(): Promise<void> {
    expect(checkHistory(await this.load.drain())).toEqual([]);
  }

  async close(): Promise<void> {
    await this.load.end();
    await Promise.all(this.replicas.map((replica) => replica.close()));
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
    await this.postgres.remove();
  }

  async #atWork(): Promise<void> {
    await this.load.untilSettled(SETTLED_JOBS, SETTLED_WITHIN_MS);
  }
}
