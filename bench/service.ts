// The service in a process of its own: `service` as it is, `ungrouped` without group commit.
//
//   service.js DATABASE_URL (service | ungrouped)
import { startApp } from '../src/app.ts';
import { createEngine } from '../src/engine/create-engine.ts';
import { createLogger } from '../src/ops/logging.ts';
import { serveUntilAlone } from './load-process.ts';
import { ungroupedEngine } from './ungrouped-engine.ts';

const [databaseUrl = '', variant = ''] = process.argv.slice(2);
const app = await startApp({
  config: { listen: { host: '127.0.0.1', port: 0 } },
  databaseUrl,
  logger: createLogger({ level: 'warn' }),
  engineOf: variant === 'ungrouped' ? ungroupedEngine : createEngine,
});
serveUntilAlone(() => app.stop());
process.send?.({ ready: app.grpcAddress });
