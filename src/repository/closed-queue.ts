import type { Refusal } from '../domain/error.ts';
import { drainTimeMs, type QueueName } from '../domain/queue.ts';
import { bool, float, int, type Row } from './row.ts';

/** What a queue refuses that drains, or is full: from `draining`, `depth`, `max_queued` and `rate` (jobs that leave it, per second). */
export function closedBy(row: Row, { namespace, name }: QueueName): Refusal {
  if (bool(row, 'draining')) return { kind: 'queue_draining', namespace, queue: name };
  const retryAfterMs = drainTimeMs(float(row, 'rate'));
  return { kind: 'queue_saturated', namespace, queue: name, depth: int(row, 'depth'), limit: int(row, 'max_queued'), retryAfterMs };
}
