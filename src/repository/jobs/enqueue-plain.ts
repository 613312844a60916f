/**
 * Enqueue of jobs that nothing bounds: no key, no id of the caller's, no time to wait for; in queues without a gate and without fairness
 * keys in use. What the whole statement (`enqueue.ts`) does for those is record, token and journal, and most of its cost is to
 * begin: its plan has five times the nodes. Where a queue turns out to be bounded this one does nothing, and says so.
 */
import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { EnqueueItem } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run, Values } from '../database.ts';
import { enqueuedDetail } from '../detail.ts';
import { isDuplicateKey } from '../driver-error.ts';
import { movesOfQueue } from '../moves.ts';
import { instant, int } from '../row.ts';
import { SORTED } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import type { Fresh } from './enqueue.ts';
import { type RecordParam, recordColumns } from './enqueue-columns.ts';

const queueIds = sql`${param('queues')}::int[]`;

/** The CTE `open`: one row where nothing bounds the queues. The transaction has its id before it draws a position, as in the whole statement. */
export const openBatch = sql`open as materialized (
  select pg_current_xact_id() as xid from c
   where not exists (select from stint.gate g where g.shard = ${shard} and g.queue_id = any(${queueIds}))
     and not exists (select from stint.fair f where f.shard = ${shard} and f.queue_id = any(${queueIds})))`;

const plainQueues = sql`q as materialized (
  select q.* from open cross join unnest(${queueIds}) as t(id) cross join lateral (
    select id, max_attempts, sorted > ${SORTED.none} as sorted from stint.queue where shard = ${shard} and id = t.id offset 0) q)`;

/** The CTE `i`, in arrival order, which is also that of the ids: opposite orders deadlock. */
export const input = sql`i as materialized (
  select b.*, nextval('stint.job_ord') as drawn
    from open cross join (select * from unnest(
      ${param('ids')}::uuid[], ${param('namespaces')}::text[], ${param('queueIds')}::int[], ${param('types')}::text[],
      ${param('ranks')}::bigint[], ${param('digests')}::bytea[], ${param('contentTypes')}::text[], ${param('headers')}::text[],
      ${param('labels')}::text[], ${param('sizes')}::int[], ${param('maxAttempts')}::int[], ${param('initialBackoffMs')}::bigint[],
      ${param('multipliers')}::float8[], ${param('maxBackoffMs')}::bigint[], ${param('jitters')}::boolean[],
      ${param('nonRetryableCodes')}::text[], ${param('payloads')}::bytea[], ${param('details')}::text[],
      ${param('dispositions')}::smallint[], ${param('startMs')}::bigint[], ${param('runMs')}::bigint[], ${param('closeMs')}::bigint[])
      as t(id, namespace, queue_id, type, rank, digest, content_type, headers, labels, size, max_attempts, initial_backoff_ms, multiplier,
           max_backoff_ms, jitter, non_retryable_codes, payload, detail, disposition, start_ms, run_ms, close_ms) offset 0) b)`;

export type PlainParam = 'now' | 'epochs' | 'queues' | 'details' | RecordParam;

/** The CTE `j`: the records of the batch. */
export const newRecords = sql`j as (
  insert into stint.job (shard, id, namespace, queue_id, type, rank, ord, created_at, digest, content_type, headers, labels,
      max_attempts, initial_backoff_ms, multiplier, max_backoff_ms, jitter, non_retryable_codes, payload, disposition, start_ms, run_ms, close_ms)
  select ${shard}, id, namespace, queue_id, type, rank, drawn, c.now, digest, content_type, coalesce(headers, '{}')::jsonb,
      coalesce(labels, '{}')::jsonb, max_attempts, initial_backoff_ms, multiplier, max_backoff_ms, jitter, non_retryable_codes::text[], payload,
      disposition, start_ms, run_ms, close_ms
    from i, c)`;

/** The CTE `r`: the tokens of those jobs of the batch that `waits` picks, in the queues `q`. */
export const newTokens = (waits: SQL = sql``): SQL => sql`r as (
  insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until,
      give_up_at, out_of_order, type)
  select ${shard}, queue_id, rank, drawn, id, 0, 0, 1, 1, 0, size, false, start_ms, run_ms, c.now + close_ms * interval '1 millisecond',
      least(c.now + close_ms * interval '1 millisecond', c.now + start_ms * interval '1 millisecond'), false, case when queue_id = any(array(select id from q where sorted)) then type end
    from i, c${waits})`;

/** The CTE `e`: what the log tells of the batch. */
export const enqueuedJournal = sql`e as (
  insert into stint.journal (shard, epoch, at, types, jobs, queue_ids, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.enqueued}), array_agg(id), array_agg(queue_id),
      case when count(detail) > 0 then array_agg(detail) end,
      (select array_agg(${movesOfQueue(sql`m.queue_id`, { grown: { READY: sql`m.n` }, begun: sql`m.n` })}) from (
        select queue_id, count(*)::int as n from i group by queue_id) m)
    from i, c group by c.epoch, c.now
  returning n)`;

const enqueuePlainStatement = statement<PlainParam>(
  'enqueue-plain',
  sql`with ${clockOfQueues}, ${openBatch}, ${plainQueues}, ${input}, ${newRecords}, ${newTokens()}, ${enqueuedJournal}
select q.id, q.max_attempts, c.now as created_at from q cross join c`,
);

/** Whether the statement serves a batch, by what is known of the jobs alone. */
export function isPlainBatch(items: readonly EnqueueItem[]): boolean {
  return items.every(
    ({ spec, jobId }, index) =>
      spec.jobId === null &&
      spec.idempotency === null &&
      spec.runAt === null &&
      spec.concurrencyKey === '' &&
      spec.fairnessKey === '' &&
      spec.disposition !== 'EXTERNALLY_OWNED' &&
      (index === 0 || jobId > (items[index - 1]?.jobId ?? '')),
  );
}

export function plainValues(now: string | null, items: readonly EnqueueItem[]): Values<PlainParam> {
  const queues = items.map(({ queue }) => queue);
  return {
    now,
    epochs: epochsOf(queues),
    queues: plainArray([...new Set(queues.map(({ id }) => id))]),
    details: textArray(items.map(({ spec }) => enqueuedDetail(spec.type, spec.priority, null, false))),
    ...recordColumns(items),
  };
}

/**
 * A plain batch is enqueued as a whole; null where one of its queues is bounded or has fairness keys, or one of the jobs is there already, from
 * a former try whose answer was lost: nothing was done.
 */
export async function enqueuePlain(run: Run, now: string | null, items: readonly EnqueueItem[]): Promise<readonly Fresh[] | null> {
  const rows = await run(enqueuePlainStatement, plainValues(now, items)).catch((error: unknown) => {
    if (isDuplicateKey(error)) return [];
    throw error;
  });
  const [first] = rows;
  if (first === undefined) return null;
  const createdAt = instant(first, 'created_at');
  const maxAttempts = new Map(rows.map((row) => [int(row, 'id'), int(row, 'max_attempts')]));
  return items.map(({ queue, spec }, index) => {
    const ofQueue = maxAttempts.get(queue.id);
    if (ofQueue === undefined) throw new Error('the database enqueued into a queue that it does not know');
    return { index, scheduled: false, createdAt, maxAttempts: spec.retry.maxAttempts ?? ofQueue };
  });
}
