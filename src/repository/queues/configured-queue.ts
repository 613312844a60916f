/** Queues as they are configured: of a bound only the gate knows. */
import { sql, type SQL } from 'drizzle-orm';
import {
  type ConfiguredQueue,
  MODE_CODES,
  type QueueMode,
  type QueueName,
  type RateLimit,
  type QueueStatus,
  STATUS_CODES,
} from '../../domain/queue.ts';
import type { Run } from '../database.ts';
import { bool, float, instant, int, intMap, intOrNull, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

const configured = (condition: SQL): SQL => sql`
  select q.*, to_jsonb(q.non_retryable_codes) as codes, g.max_in_flight, g.max_per_worker, g.max_queued, g.rate_permits, g.rate_period_ms, g.rate_burst,
      (select d.name from stint.queue d where d.shard = ${shard} and d.id = q.dead_letter_queue_id) as dead_letter_queue
    from stint.queue q left join stint.gate g on g.shard = ${shard} and g.queue_id = q.id
   where q.shard = ${shard} and ${condition}`;

const named = sql`q.namespace = ${param('namespace')}::text and q.name = ${param('name')}::text`;

const configuredQueueStatement = statement<'namespace' | 'name'>('configured-queue', configured(named));

/** Who configures the same queue waits. Nothing else locks these rows. */
const lockQueueStatement = statement<'namespace' | 'name'>(
  'lock-queue',
  sql`select q.id from stint.queue q where q.shard = ${shard} and ${named} for update`,
);

/** By the unique index on the name. */
const listQueuesStatement = statement<'namespace' | 'after' | 'limit'>(
  'list-queues',
  sql`${configured(sql`q.namespace = ${param('namespace')}::text and q.name > ${param('after')}::text`)}
   order by q.name limit ${param('limit')}::int`,
);

export async function configuredQueue(run: Run, { namespace, name }: QueueName): Promise<ConfiguredQueue | null> {
  const [row] = await run(configuredQueueStatement, { namespace, name });
  return row === undefined ? null : parseConfigured(row);
}

/**
 * With its number. Read by a statement of its own: one that waited for the lock would see the queue as it is and its gate and its
 * dead-letter queue as they were before the wait, and what another set meanwhile would be written back.
 */
export async function lockQueue(
  run: Run,
  { namespace, name }: QueueName,
): Promise<{ readonly id: number; readonly queue: ConfiguredQueue } | null> {
  const [row] = await run(lockQueueStatement, { namespace, name });
  const queue = row === undefined ? null : await configuredQueue(run, { namespace, name });
  return row === undefined || queue === null ? null : { id: int(row, 'id'), queue };
}

export async function listQueues(run: Run, namespace: string, limit: number, after: string): Promise<readonly ConfiguredQueue[]> {
  return (await run(listQueuesStatement, { namespace, after, limit })).map(parseConfigured);
}

function parseConfigured(row: Row): ConfiguredQueue {
  const codes = row['codes'];
  return {
    namespace: text(row, 'namespace'),
    name: text(row, 'name'),
    settings: {
      mode: parseMode(int(row, 'mode')),
      maxInFlight: intOrNull(row, 'max_in_flight'),
      maxInFlightPerWorker: intOrNull(row, 'max_per_worker'),
      maxQueued: intOrNull(row, 'max_queued'),
      rateLimit: parseRateLimit(row),
      concurrencyPerKey: int(row, 'concurrency_per_key'),
      concurrencyPolicy: bool(row, 'concurrency_hold') ? 'HOLD' : 'RELEASE',
      cancellationBudgetMs: int(row, 'cancellation_budget_ms'),
      leaseDurationMs: int(row, 'lease_duration_ms'),
      leaseGraceMs: int(row, 'lease_grace_ms'),
      retry: {
        maxAttempts: int(row, 'max_attempts'),
        initialBackoffMs: int(row, 'initial_backoff_ms'),
        multiplier: float(row, 'multiplier'),
        maxBackoffMs: int(row, 'max_backoff_ms'),
        jitter: bool(row, 'jitter'),
        nonRetryableCodes: Array.isArray(codes) ? codes.map(String) : [],
      },
      deadLetterEnabled: bool(row, 'dead_letter_enabled'),
      deadLetterQueue: textOrNull(row, 'dead_letter_queue') ?? '',
      deadLetterPayloadBytes: int(row, 'dead_letter_payload_bytes'),
      fairnessWeights: intMap(row, 'fairness_weights'),
      retentionMs: int(row, 'retention_ms'),
    },
    status: parseStatus(int(row, 'status')),
    statusReason: text(row, 'status_reason'),
    createdAt: instant(row, 'created_at'),
    updatedAt: instant(row, 'updated_at'),
  };
}

/** The gate has that of the queue, the queue that of its keys. */
function parseRateLimit(row: Row): RateLimit | null {
  const perKey = intOrNull(row, 'key_rate_permits') !== null;
  const column = (name: string) => (perKey ? `key_rate_${name}` : `rate_${name}`);
  const permits = intOrNull(row, column('permits'));
  return permits === null ? null : { perKey, permits, periodMs: int(row, column('period_ms')), burst: int(row, column('burst')) };
}

function parseMode(code: number): QueueMode {
  const found = (Object.keys(MODE_CODES) as QueueMode[]).find((mode) => MODE_CODES[mode] === code);
  if (found === undefined) throw new Error(`no queue mode has the code ${code}`);
  return found;
}

export function parseStatus(code: number): QueueStatus {
  const found = (Object.keys(STATUS_CODES) as QueueStatus[]).find((status) => STATUS_CODES[status] === code);
  if (found === undefined) throw new Error(`no queue status has the code ${code}`);
  return found;
}
