// The service in a process of its own, with metrics or without; tells the CPU that it has used whenever it is asked.
//
//   metrics-cost-child.ts DATABASE_URL (on | off)
import { startApp } from '../../src/app.ts';
import { createLogger } from '../../src/ops/logging.ts';
import { Metrics } from '../../src/ops/metrics/metrics.ts';
import { serveUntilAlone } from '../load-process.ts';

const [databaseUrl = '', variant = ''] = process.argv.slice(2);
const metrics = variant === 'on' ? new Metrics({ version: 'bench', nodeVersion: process.version }) : undefined;
const app = await startApp({
  config: { listen: { host: '127.0.0.1', port: 0 }, metricsQueues: 100 },
  databaseUrl,
  logger: createLogger({ level: 'warn' }),
  ...(metrics === undefined ? {} : { metrics }),
});
serveUntilAlone(() => app.stop());
process.on('message', (question) => {
  if (question === 'cpu') {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuMicros: user + system });
  } else void scrape();
});
process.send?.({ address: app.grpcAddress });

async function scrape(): Promise<void> {
  const begunAt = performance.now();
  const text = (await metrics?.expose())?.text ?? '';
  process.send?.({ milliseconds: performance.now() - begunAt, bytes: text.length });
}
