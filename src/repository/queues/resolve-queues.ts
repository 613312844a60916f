import { sql } from 'drizzle-orm';
import type { Queue, QueueName } from '../../domain/queue.ts';
import { queueKey } from '../../domain/queue.ts';
import { plainArray, textArray } from '../array.ts';
import type { Run } from '../database.ts';
import { bool, float, int, type Row, text, textOrNull } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

const columns = sql`q.id, stint.current_epoch(${shard}) as epoch, q.namespace, q.name, q.lease_duration_ms, q.lease_grace_ms, q.cancellation_budget_ms, q.max_attempts,
  q.initial_backoff_ms, q.multiplier, q.max_backoff_ms, q.jitter, to_jsonb(q.non_retryable_codes) as non_retryable_codes, q.dead_letter_enabled, q.dead_letter_payload_bytes,
  (select d.name from stint.queue d where d.shard = ${shard} and d.id = q.dead_letter_queue_id) as dead_letter_queue`;

const resolveQueuesStatement = statement<'namespaces' | 'names'>(
  'resolve-queues',
  sql`select ${columns} from unnest(${param('namespaces')}::text[], ${param('names')}::text[]) as i(namespace, name)
    cross join lateral (
      select * from stint.queue where shard = ${shard} and namespace = i.namespace and name = i.name offset 0) q`,
);

/** Queues spring into being at first enqueue; two who create the same one at once both find it. */
const createQueuesStatement = statement<'namespaces' | 'names'>(
  'create-queues',
  sql`insert into stint.queue (shard, namespace, name)
    select ${shard}, i.namespace, i.name from unnest(${param('namespaces')}::text[], ${param('names')}::text[]) as i(namespace, name)
     order by i.namespace, i.name
    on conflict (shard, namespace, name) do nothing`,
);

const queuesByIdStatement = statement<'ids'>(
  'queues-by-id',
  sql`select ${columns} from unnest(${param('ids')}::int[]) as i(id)
    cross join lateral (select * from stint.queue where shard = ${shard} and id = i.id offset 0) q`,
);

/** Positional; null for a queue that nobody enqueued to or configured. */
export async function resolveQueues(run: Run, names: readonly QueueName[]): Promise<readonly (Queue | null)[]> {
  const rows = await run(resolveQueuesStatement, { ...nameArrays(names) });
  const found = new Map(rows.map(parseQueue).map((queue) => [queueKey(queue), queue]));
  return names.map((name) => found.get(queueKey(name)) ?? null);
}

export async function createQueues(run: Run, names: readonly QueueName[]): Promise<readonly Queue[]> {
  await run(createQueuesStatement, { ...nameArrays(names) });
  const queues = await resolveQueues(run, names);
  return queues.map((queue, index) => {
    if (queue === null) throw new Error(`queue ${index} was created and is not there`);
    return queue;
  });
}

export async function queuesById(run: Run, ids: readonly number[]): Promise<readonly Queue[]> {
  return (await run(queuesByIdStatement, { ids: plainArray(ids) })).map(parseQueue);
}

function nameArrays(names: readonly QueueName[]) {
  return { namespaces: textArray(names.map(({ namespace }) => namespace)), names: textArray(names.map(({ name }) => name)) };
}

function parseQueue(row: Row): Queue {
  const codes = row['non_retryable_codes'];
  return {
    id: int(row, 'id'),
    epoch: int(row, 'epoch'),
    namespace: text(row, 'namespace'),
    name: text(row, 'name'),
    leaseDurationMs: int(row, 'lease_duration_ms'),
    leaseGraceMs: int(row, 'lease_grace_ms'),
    cancellationBudgetMs: int(row, 'cancellation_budget_ms'),
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
  };
}
