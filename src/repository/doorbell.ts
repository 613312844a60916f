import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import type { Doorbell } from '../engine/ports/doorbell.ts';
import type { Database } from './database.ts';
import { statement, param } from './statement.ts';
import { sql } from 'drizzle-orm';

const CHANNEL = 'stint_bell';
/** NOTIFY takes a lock at commit: at most one in this time, whatever is committed meanwhile. */
const RING_GAP_MS = 10;
const CLOSE_TIMEOUT_S = 2;

const notifyStatement = statement<'replica'>('ring-doorbell', sql`select pg_notify('stint_bell', ${param('replica')}::text)`);

/** NOTIFY on the plain pool, LISTEN on a connection of its own; the driver listens again after a lost connection. */
export function createDoorbell(url: string, database: Database): Doorbell {
  const replica = randomUUID();
  const listener = postgres(url, {
    max: 1,
    fetch_types: false,
    onnotice: () => undefined,
    connection: { application_name: 'stint listen' },
  });
  let timer: NodeJS.Timeout | null = null;
  return {
    ring: () => {
      timer ??= setTimeout(() => {
        timer = null;
        // A lost ring costs the others one interval of polling, nothing else.
        database.run(notifyStatement, { replica }).catch(() => undefined);
      }, RING_GAP_MS);
    },
    listen: async (onRing) => {
      await listener.listen(CHANNEL, (from) => (from === replica ? undefined : onRing()), onRing);
    },
    close: async () => {
      if (timer !== null) clearTimeout(timer);
      await listener.end({ timeout: CLOSE_TIMEOUT_S });
    },
  };
}
