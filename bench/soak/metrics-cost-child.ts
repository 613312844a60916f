// Services in a process of their own, with metrics or without; tells the CPU that the process has used whenever it is asked.
//
//   metrics-cost-child.ts QUEUES_BY_NAME (DATABASE_URL (on | off))…
import { startApp, type App } from '../../src/app.ts';
import { createLogger } from '../../src/ops/logging.ts';
import { Metrics } from '../../src/ops/metrics/metrics.ts';
import { serveUntilAlone } from '../load-process.ts';

const [queuesByName = '', ...asked] = process.argv.slice(2);
const apps: App[] = [];
const measured: Metrics[] = [];
for (let index = 0; index < asked.length; index += 2) {
  const [databaseUrl = '', variant = ''] = asked.slice(index);
  const metrics = variant === 'on' ? new Metrics({ version: 'bench', nodeVersion: process.version }) : undefined;
  const app = await startApp({
    config: { listen: { host: '127.0.0.1', port: 0 }, metricsQueues: Number(queuesByName) },
    databaseUrl,
    logger: createLogger({ level: 'warn' }),
    ...(metrics === undefined ? {} : { metrics }),
  });
  apps.push(app);
  if (metrics !== undefined) measured.push(metrics);
}
serveUntilAlone(async () => {
  await Promise.all(apps.map(async (app) => await app.stop()));
});
process.on('message', (question) => {
  if (question === 'cpu') {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuMicros: user + system });
  } else void scrape();
});
process.send?.({ addresses: apps.map(({ grpcAddress }) => grpcAddress) });

async function scrape(): Promise<void> {
  const begunAt = performance.now();
  const texts = await Promise.all(measured.map(async (metrics) => (await metrics.expose()).text));
  process.send?.({ milliseconds: performance.now() - begunAt, bytes: texts.join('').length });
}
