/**
 * Ack of first tries that nothing was told of, without a key, in queues without a gate. What the whole statement (`ack.ts`) does for those
 * is to end the try and the life, and most of its cost is to begin: its plan has several times the nodes. What it leaves out is
 * left as it was, for that one.
 */
import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { AckItem, SettleOutcome } from '../../engine/ports/repository.ts';
import { byteaArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { deleteHeld, heldLeases, heldValues, type HeldParam, type Placed } from '../held-leases.ts';
import { parseDisposition } from '../job-record.ts';
import { instant, instantOrNull, int, int8, stringMapOrEmpty, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** A lease `l` of a started first try: claimed by the second event of its job, started by the third. */
const isPlain = sql`and l.claimed_seq = 2 and l.seq = 3 and l.started_seq = 3 and l.lock_key is null
  and not exists (select from stint.gate g where g.shard = ${shard} and g.queue_id = l.queue_id)`;

const ackPlainStatement = statement<HeldParam | 'results' | 'contentTypes' | 'lastJob' | 'firstJob'>(
  'ack-plain',
  sql`with ${clock},
  ${heldLeases({
    extraArrays: sql`, ${param('results')}::bytea[], ${param('contentTypes')}::text[]`,
    extraColumns: sql`, result, content_type`,
    columns: sql`l.job, l.fence, l.token, l.worker, l.claimed_at, l.started_at, l.queue_id, l.rank`,
    condition: isPlain,
  })},
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
        (select array_agg(array[b.queue_id, 0, 0, 0, 0, -b.n, 0, 0, 0, 0, b.n, 0, 0]) from (select queue_id, count(*)::int as n from m group by queue_id) b)
      from m cross join c group by c.epoch, c.now)
  select x.n, x.fence, x.worker, x.started_at, x.rank, c.now as finished_at, j.namespace, q.name as queue, j.type,
      coalesce(j.max_attempts, q.max_attempts) as max_attempts, j.run_at, j.created_at, j.content_type, nullif(j.headers, '{}') as headers,
      nullif(j.labels, '{}') as labels, j.idempotency_key, j.disposition, j.fairness_key
    from m x cross join c
    cross join lateral (
      select * from stint.job where shard = ${shard} and id = x.job and id between ${param('firstJob')}::uuid and ${param('lastJob')}::uuid offset 0) j
    cross join lateral (select name, max_attempts from stint.queue where shard = ${shard} and id = x.queue_id offset 0) q`,
);

/** Acks what it may of `sent`, which are sorted by job, and tells which of them that was, by position. */
export async function ackPlain(run: Run, now: string | null, sent: readonly Placed<AckItem>[]): Promise<Map<number, SettleOutcome>> {
  const results = new Map(sent.map(({ item, position }) => [position, item]));
  const rows = await run(ackPlainStatement, {
    now,
    ...heldValues(sent),
    results: byteaArray(sent.map(({ item }) => item.result)),
    contentTypes: textArray(sent.map(({ item }) => item.contentType)),
    firstJob: sent[0]?.item.token.jobId ?? null,
    lastJob: sent.at(-1)?.item.token.jobId ?? null,
  });
  return new Map(
    rows.map((row) => {
      const position = int(row, 'n');
      const item = results.get(position);
      if (item === undefined) throw new Error('the database acked an item that was not sent');
      return [position, parsePlain(row, item)];
    }),
  );
}

/** Of the first try of the first life. */
function parsePlain(row: Row, { token, result, contentType }: AckItem): SettleOutcome {
  return {
    kind: 'applied',
    job: {
      namespace: text(row, 'namespace'),
      queue: text(row, 'queue'),
      jobId: token.jobId,
      type: text(row, 'type'),
      state: 'SUCCEEDED',
      priority: Number(-int8(row, 'rank')),
      life: 1,
      attempt: 1,
      maxAttempts: int(row, 'max_attempts'),
      fence: int8(row, 'fence'),
      runAt: instantOrNull(row, 'run_at'),
      createdAt: instant(row, 'created_at'),
      startedAt: instant(row, 'started_at'),
      finishedAt: instant(row, 'finished_at'),
      lastSequence: 4,
      contentType: text(row, 'content_type'),
      result,
      resultContentType: contentType,
      failure: null,
      idempotencyKey: textOrNull(row, 'idempotency_key') ?? '',
      concurrencyKey: '',
      labels: stringMapOrEmpty(row, 'labels'),
      headers: stringMapOrEmpty(row, 'headers'),
      workerId: text(row, 'worker'),
      leaseExpiresAt: null,
      disposition: parseDisposition(int(row, 'disposition')),
      fairnessKey: textOrNull(row, 'fairness_key') ?? '',
      asked: null,
    },
  };
}
