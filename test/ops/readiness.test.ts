import { Writable } from 'node:stream';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type App, startApp } from '../../src/app.ts';
import { createLogger } from '../../src/ops/logging.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { NOT_SERVING, probeHealth, SERVING } from '../support/health-probe.ts';
import { startWireProxy } from '../support/wire-proxy.ts';

describe('readiness', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createDatabase();
    // Only what ages are told by: timers and the network go on.
    vi.useFakeTimers({ toFake: ['performance'] });
  });
  afterEach(async () => {
    vi.useRealTimers();
    await database.drop();
  });

  /** Serves until the test ends; `onLine` gets what is logged. */
  async function serve(databaseUrl: string, onLine: (line: string) => void = () => undefined): Promise<App> {
    const destination = new Writable({
      write: (chunk, _encoding, done) => {
        onLine(String(chunk));
        done();
      },
    });
    const config = { listen: { host: '127.0.0.1', port: 0 } };
    return await startApp({ config, databaseUrl, logger: createLogger({ level: 'warn', destination }) });
  }

  it('ends 5 s after the last good round where the database swallows everything, and returns with the next', async () => {
    const proxy = await startWireProxy(database.url);
    onTestFinished(async () => await proxy.close());
    const app = await serve(proxy.url);
    expect(app.ready()).toBe(true);
    proxy.swallow();
    vi.advanceTimersByTime(4_999);
    expect(app.ready()).toBe(true);
    vi.advanceTimersByTime(1);
    expect(app.ready()).toBe(false);
    proxy.resume();
    await vi.waitFor(() => expect(app.ready()).toBe(true), { timeout: 20_000 });
    await app.stop();
    expect(app.ready()).toBe(false);
  });

  it('is told over gRPC too, while the process goes on to live', async () => {
    const proxy = await startWireProxy(database.url);
    onTestFinished(async () => await proxy.close());
    const app = await serve(proxy.url);
    const client = new Client(app.grpcAddress, credentials.createInsecure());
    onTestFinished(() => client.close());
    const told = async () => [await probeHealth(client, ''), await probeHealth(client, 'stint.v1.JobService')];
    expect(await told()).toEqual([SERVING, SERVING]);
    proxy.swallow();
    vi.advanceTimersByTime(5_000);
    await vi.waitFor(async () => expect(await told()).toEqual([NOT_SERVING, NOT_SERVING]), { timeout: 20_000 });
    expect(await probeHealth(client, 'liveness')).toBe(SERVING);
    proxy.resume();
    await vi.waitFor(async () => expect(await told()).toEqual([SERVING, SERVING]), { timeout: 20_000 });
    await app.stop();
  });

  it('outlasts one task of many that fails', async () => {
    const ready: boolean[] = [];
    const app = await serve(database.url, (line) => {
      if (line.includes('end leases')) ready.push(app.ready());
    });
    await database.sql`alter table stint.lease rename to away`;
    await vi.waitFor(() => expect(ready.length).toBeGreaterThan(1), { timeout: 20_000 });
    expect(new Set(ready)).toEqual(new Set([true]));
    await app.stop();
  });
});
