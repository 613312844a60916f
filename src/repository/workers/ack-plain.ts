/**
 * Ack of first tries that nothing was told of, in queues without a gate. What the whole statement (`ack.ts`) does for those is to end the try
 * and the life; its plan has nearly twice the nodes, and it copies each lease with all of its columns. Where one of the batch is anything else, or lost, it
 * does nothing, and says so: a call is one commit.
 */
import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { AckItem, SettleOutcome } from '../../engine/ports/repository.ts';
import type { Job, JobId } from '../../domain/job.ts';
import { byteaArray, plainArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { deleteHeld, heldLeases, heldValues, type HeldParam, type Placed } from '../held-leases.ts';
import { parseDisposition } from '../job-record.ts';
import type { KnownRecord, KnownRecords } from '../known-records.ts';
import { movesOfQueue } from '../moves.ts';
import { instant, instantOrNull, int, int8, intOrNull, stringMapOrEmpty, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/**
 * A lease `l` that was started by the third event of its job: it was enqueued, claimed and started, and nothing else was told of it. The gate is
 * looked up by its key, and not by an `exists`, which may be planned as a read of all gates.
 */
const isPlain = sql`and l.seq = 3 and l.started_seq = 3
  and (select true from stint.gate g where g.shard = ${shard} and g.queue_id = l.queue_id) is null`;

const ackPlainStatement = statement<HeldParam | 'results' | 'contentTypes' | 'unknown' | 'firstUnknown' | 'lastUnknown'>(
  'ack-plain',
  sql`with ${clock},
  ${heldLeases({
    extraArrays: sql`, ${param('results')}::bytea[], ${param('contentTypes')}::text[]`,
    extraColumns: sql`, result, content_type`,
    columns: sql`l.job, l.fence, l.token, l.worker, l.claimed_at, l.started_at, l.queue_id, l.rank`,
    condition: isPlain,
    name: sql`found`,
  })},
  m as materialized (select * from found where (select count(*) from found) = cardinality(${param('n')}::int[])),
  ${deleteHeld},
  a as (
    insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at,
        started_seq, started_at, ended_seq, ended_at, ended_type, dead_lettered)
    select ${shard}, job, fence, 1, false, 1, token, 'ack', worker, 2, claimed_at, 3, started_at, 4, c.now, ${EVENT_CODES.succeeded}, false
      from m cross join c),
  t as (
    insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at, result, result_content_type)
    select ${shard}, job, 1, 4, ${EVENT_CODES.succeeded}, 1, fence, c.now, result, content_type from m cross join c),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, moves)
    select ${shard}, c.epoch, c.now, array_fill(${EVENT_CODES.succeeded}::smallint, array[count(*)::int]), array_agg(job),
        array_fill(4::bigint, array[count(*)::int]), array_agg(queue_id), array_fill(1, array[count(*)::int]), array_fill(1, array[count(*)::int]),
        array_agg(fence), array_agg(worker),
        (select array_agg(${movesOfQueue(sql`b.queue_id`, { grown: { RUNNING: sql`-b.n` }, ended: sql`b.n` })}) from (select queue_id, count(*)::int as n from m group by queue_id) b)
      from m cross join c group by c.epoch, c.now)
  select x.n, x.fence, x.worker, x.started_at, x.rank, c.now as finished_at, q.max_attempts as queue_max_attempts, j.*
    from m x cross join c
    cross join lateral (select name, max_attempts from stint.queue where shard = ${shard} and id = x.queue_id offset 0) q
    left join lateral (
      select j.namespace, q.name as queue, j.type, j.max_attempts, j.run_at, j.created_at, j.content_type, nullif(j.headers, '{}') as headers,
          nullif(j.labels, '{}') as labels, j.idempotency_key, j.disposition, j.fairness_key
        from stint.job j
       where j.shard = ${shard} and j.id = x.job and j.id = any(${param('unknown')}::uuid[])
         and j.id between ${param('firstUnknown')}::uuid and ${param('lastUnknown')}::uuid offset 0) j on true`,
);

/**
 * The outcome of each of `sent`, which are sorted by job, by position; null where one of them is not for this statement: nothing was done.
 * Only records that are not among `records` are read, between the first and the last of them: no partition is opened for the others.
 */
export async function ackPlain(
  run: Run,
  now: string | null,
  sent: readonly Placed<AckItem>[],
  records: KnownRecords,
): Promise<ReadonlyMap<number, SettleOutcome> | null> {
  const items = new Map(sent.map(({ item, position }) => [position, item]));
  // As it is known now: while the statement runs others may be forgotten.
  const known = new Map(sent.map(({ item: { token } }) => [token.jobId, records.get(token)]));
  const unknown = [...known.keys()].filter((jobId) => known.get(jobId) === null);
  const rows = await run(ackPlainStatement, {
    now,
    ...heldValues(sent),
    results: byteaArray(sent.map(({ item }) => item.result)),
    contentTypes: textArray(sent.map(({ item }) => item.contentType)),
    unknown: plainArray(unknown),
    firstUnknown: unknown[0] ?? null,
    lastUnknown: unknown.at(-1) ?? null,
  });
  if (rows.length === 0) return null;
  return new Map(
    rows.map((row) => {
      const position = int(row, 'n');
      const item = items.get(position);
      if (item === undefined) throw new Error('the database acked an item that was not sent');
      records.forget(item.token);
      const { jobId } = item.token;
      return [position, { kind: 'applied', job: ended(row, item, known.get(jobId) ?? parseKnown(row, jobId)) }];
    }),
  );
}

function parseKnown(row: Row, jobId: JobId): KnownRecord {
  return {
    maxAttempts: intOrNull(row, 'max_attempts'),
    record: {
      namespace: text(row, 'namespace'),
      queue: text(row, 'queue'),
      jobId,
      type: text(row, 'type'),
      runAt: instantOrNull(row, 'run_at'),
      createdAt: instant(row, 'created_at'),
      contentType: text(row, 'content_type'),
      headers: stringMapOrEmpty(row, 'headers'),
      labels: stringMapOrEmpty(row, 'labels'),
      idempotencyKey: textOrNull(row, 'idempotency_key') ?? '',
      concurrencyKey: '',
      disposition: parseDisposition(int(row, 'disposition')),
      fairnessKey: textOrNull(row, 'fairness_key') ?? '',
    },
  };
}

/** After the first try of its first life. */
function ended(row: Row, { result, contentType }: AckItem, { record, maxAttempts }: KnownRecord): Job {
  return {
    namespace: record.namespace,
    queue: record.queue,
    jobId: record.jobId,
    type: record.type,
    state: 'SUCCEEDED',
    priority: Number(-int8(row, 'rank')),
    life: 1,
    attempt: 1,
    maxAttempts: maxAttempts ?? int(row, 'queue_max_attempts'),
    fence: int8(row, 'fence'),
    runAt: record.runAt,
    createdAt: record.createdAt,
    startedAt: instant(row, 'started_at'),
    finishedAt: instant(row, 'finished_at'),
    lastSequence: 4,
    contentType: record.contentType,
    result,
    resultContentType: contentType,
    failure: null,
    idempotencyKey: record.idempotencyKey,
    concurrencyKey: record.concurrencyKey,
    labels: record.labels,
    headers: record.headers,
    workerId: text(row, 'worker'),
    leaseExpiresAt: null,
    disposition: record.disposition,
    fairnessKey: record.fairnessKey,
    asked: null,
  };
}
