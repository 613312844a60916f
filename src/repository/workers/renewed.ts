/** What a heartbeat answers of a lease that goes on, whichever row was written for it. */
import { sql, type SQL } from 'drizzle-orm';
import { STATUS_CODES } from '../../domain/queue.ts';
import type { LeaseRenewed } from '../../engine/ports/leases.ts';
import { bool, instant, instantOrNull, int, type Row } from '../row.ts';
import { shard } from '../statement.ts';

/** Whether the holder of a lease is to finish, and to claim no more from its queue. */
export const isDraining = (lease: SQL): SQL =>
  sql`(select q.status = ${STATUS_CODES.DRAINING_IN_FLIGHT} from stint.queue q where q.shard = ${shard} and q.id = ${lease}.queue_id)`;

/** Reads `until`, `ttl_ms`, `cancel_deadline`, `draining`. */
export function parseRenewed(row: Row): LeaseRenewed {
  return {
    kind: 'renewed',
    expiresAt: instant(row, 'until'),
    ttlMs: int(row, 'ttl_ms'),
    cancelDeadline: instantOrNull(row, 'cancel_deadline'),
    draining: bool(row, 'draining'),
  };
}
