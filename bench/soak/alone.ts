import postgres, { type Sql } from 'postgres';
import { PostgresServer } from '../../test/support/postgres-server.ts';
import { Replica } from '../../test/support/replicas.ts';
import { buildService } from '../../test/support/service-process.ts';

export interface Alone {
  readonly replica: Replica;
  /** The same database, for whoever looks at it or holds it up: two connections. */
  readonly sql: Sql;
  /** Aborts when the run is interrupted; `end` aborts it when the run has enough. */
  readonly ending: AbortSignal;
  readonly end: () => void;
}

/** Runs `work` on one replica over a Postgres of its own, and takes both away. */
export async function alone(work: (stage: Alone) => Promise<void>): Promise<void> {
  const ending = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());
  buildService();
  const server = await PostgresServer.create();
  const replica = await Replica.start(server.url);
  const sql = postgres(server.url, { max: 2, onnotice: () => undefined });
  try {
    await work({ replica, sql, ending: ending.signal, end: () => ending.abort() });
  } finally {
    ending.abort();
    await sql.end({ timeout: 5 });
    await replica.close();
    await server.remove();
  }
}
