import { expect, vi } from 'vitest';
import { administer } from './administration.ts';
import type { PostgresServer } from './postgres-server.ts';
import { startWireProxy, type WireProxy } from './wire-proxy.ts';

const LONG = { timeout: 60_000, interval: 20 };

/** A server that follows another one by streaming, until it is cut off: what is committed from then on it never has. */
export class LaggingStandby {
  readonly server: PostgresServer;
  readonly #primary: PostgresServer;
  readonly #stream: WireProxy;

  private constructor(server: PostgresServer, primary: PostgresServer, stream: WireProxy) {
    this.server = server;
    this.#primary = primary;
    this.#stream = stream;
  }

  /** Restarts the primary, so nobody should use it yet. */
  static async behind(primary: PostgresServer): Promise<LaggingStandby> {
    const stream = await startWireProxy(primary.url);
    const { hostname, port, username, password } = new URL(stream.url);
    const server = await primary.standby({ primary_conninfo: `host=${hostname} port=${port} user=${username} password=${password}` });
    return new LaggingStandby(server, primary, stream);
  }

  /** Resolves when it has all that was committed before the call. */
  async catchUp(): Promise<void> {
    const [written] = await administer(this.#primary.url, 'select pg_current_wal_lsn()::text as lsn');
    const isThere = `select pg_last_wal_replay_lsn() >= '${written?.['lsn']}' as reached`;
    await vi.waitFor(async () => expect(await administer(this.server.url, isThere)).toEqual([{ reached: true }]), LONG);
  }

  async cutOff(): Promise<void> {
    await this.#stream.close();
  }

  /** Resolves when it takes writes, on a timeline of its own. The primary must be down. */
  async promote(): Promise<void> {
    expect(await administer(this.server.url, 'select pg_promote(true, 60) as promoted')).toEqual([{ promoted: true }]);
  }

  async remove(): Promise<void> {
    await this.#stream.close();
    await this.server.remove();
  }
}
