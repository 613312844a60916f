import postgres, { type Sql } from 'postgres';
import { type MeasuredService, startMeasuredService } from '../../test/support/measured-service.ts';
import { PostgresServer } from '../../test/support/postgres-server.ts';

/** Two replicas over one durable Postgres, each in a process of its own. */
export interface Stage {
  readonly replicas: readonly [MeasuredService, MeasuredService];
  /** A look behind the service's back. */
  readonly sql: Sql;
  stop(): Promise<void>;
}

const CONNECTIONS = 200;

export async function setStage(): Promise<Stage> {
  const server = await PostgresServer.create({ max_connections: String(CONNECTIONS) });
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined, connection: { application_name: 'soak' } });
  const replicas = [await startMeasuredService(server.url), await startMeasuredService(server.url)] as const;
  return {
    replicas,
    sql,
    stop: async () => {
      for (const replica of replicas) await replica.stop();
      await sql.end({ timeout: 5 });
      await server.remove();
    },
  };
}
