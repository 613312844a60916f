import type { QueueName } from '../domain/queue.ts';
import type { UpkeepRound } from '../engine/ports/upkeep.ts';
import { instant, instantOrNull, int, type Row } from './row.ts';

/** Reads `now`, `count`, `next_due_at` and `ready_queues` ([[namespace, name], …]) of a round of upkeep. */
export function parseRound(rows: readonly Row[], limit: number): UpkeepRound {
  const [row] = rows;
  if (row === undefined) throw new Error('a round of upkeep answered nothing');
  const count = int(row, 'count');
  return {
    count,
    more: count >= limit,
    nextDueAt: instantOrNull(row, 'next_due_at'),
    databaseTime: instant(row, 'now'),
    touchesKeys: row['touched'] === true,
    readyQueues: parseQueueNames(row['ready_queues']),
  };
}

function parseQueueNames(value: unknown): readonly QueueName[] {
  if (!Array.isArray(value)) throw new Error('ready_queues is not a list');
  return value.map((pair: unknown) => {
    const [namespace, name]: unknown[] = Array.isArray(pair) ? pair : [];
    return { namespace: String(namespace), name: String(name) };
  });
}
