import { expect, it, onTestFinished, vi } from 'vitest';
import { startAdminServer } from '../../src/ops/admin-server.ts';
import { Metrics } from '../../src/ops/metrics/metrics.ts';
import { startApp } from '../../src/app.ts';
import { createLogger } from '../../src/ops/logging.ts';
import { createDatabase } from '../support/database.ts';
import { Samples } from '../support/samples.ts';
import { startWireProxy } from '../support/wire-proxy.ts';

it('metrics are told while the database swallows every question, and tell so', async () => {
  const database = await createDatabase();
  const proxy = await startWireProxy(database.url);
  const metrics = new Metrics({ version: '0', nodeVersion: 'v0' });
  const logger = createLogger({ level: 'silent' });
  const app = await startApp({ config: { listen: { host: '127.0.0.1', port: 0 } }, databaseUrl: proxy.url, logger, metrics });
  const admin = await startAdminServer({ host: '127.0.0.1', port: 0, isReady: app.ready, metrics: () => metrics.expose() });
  onTestFinished(async () => {
    proxy.resume();
    await admin.stop();
    await app.stop();
    await proxy.close();
    await database.drop();
  });
  const scrape = async () => new Samples(await (await fetch(`http://127.0.0.1:${admin.address.port}/metrics`)).text());
  expect((await scrape()).sum('stint_ready')).toBe(1);
  proxy.swallow();
  // Each answers at once, or the test would run out of time: nothing of what it takes asks the database.
  await vi.waitFor(async () => expect((await scrape()).sum('stint_ready')).toBe(0), { timeout: 20_000 });
  const samples = await scrape();
  expect(samples.sum('stint_database_answer_age_seconds')).toBeGreaterThanOrEqual(5);
  expect(samples.sum('stint_pool_connections_in_use')).toBeGreaterThan(0);
});
