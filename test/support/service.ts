import { startApp } from '../../src/app.ts';
import type { Config } from '../../src/config.ts';
import type { Clock } from '../../src/engine/ports/clock.ts';
import { createLogger, type Logger } from '../../src/ops/logging.ts';
import type { Metrics } from '../../src/ops/metrics/metrics.ts';
import { createDatabase, type TestDatabase } from './database.ts';

export interface TestService {
  readonly address: string;
  readonly database: TestDatabase;
  stop(): Promise<void>;
}

interface Wanted {
  readonly clock?: Clock;
  readonly database?: TestDatabase;
  /** Default: connections never grow old. */
  readonly connectionLife?: Config['connectionLife'];
  readonly metrics?: Metrics;
  readonly logger?: Logger;
}

/** The real service in this process, on a free port and a database of its own, or as another replica on a given one. */
export async function startService({
  clock,
  database,
  connectionLife,
  metrics,
  logger = createLogger({ level: 'error' }),
}: Wanted = {}): Promise<TestService> {
  const own = database ?? (await createDatabase());
  const app = await startApp({
    config: { listen: { host: '127.0.0.1', port: 0 }, metricsQueues: 100, ...(connectionLife === undefined ? {} : { connectionLife }) },
    databaseUrl: own.url,
    logger,
    ...(metrics === undefined ? {} : { metrics }),
    ...(clock === undefined ? {} : { clock }),
  });
  return {
    address: app.grpcAddress,
    database: own,
    stop: async () => {
      await app.stop();
      if (database === undefined) await own.drop();
    },
  };
}
