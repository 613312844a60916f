import { sql } from 'drizzle-orm';
import type { Queue, QueueName } from '../../domain/queue.ts';
import { queueKey } from '../../domain/queue.ts';
import { plainArray, textArray } from '../array.ts';
import type { Run } from '../database.ts';
import { int, type Row, text } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

const columns = sql`q.id, stint.current_epoch(${shard}) as epoch, q.namespace, q.name`;

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
  return { id: int(row, 'id'), epoch: int(row, 'epoch'), namespace: text(row, 'namespace'), name: text(row, 'name') };
}
