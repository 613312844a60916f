/**
 * Claim from one queue that nothing bounds, of jobs that have never been tried or touched: no gate, no floor, no concurrency key, no former failure.
 * What the whole statement (`claim.ts`) does for those is to move the token and read the record, and most of its cost is to begin:
 * its plan has three times the nodes. Where it finds anything else at the head of the backlog it does nothing, and says so.
 *
 * Uses the primary key of `ready` and reads `wanted` entries of it, once to see what they are and once to take them: what were locked and
 * left would be hidden from another claim, and nobody would tell it when it comes back.
 */
import { sql } from 'drizzle-orm';
import type { ClaimedJob, ClaimSlot, Given } from '../../engine/ports/repository.ts';
import type { Queue } from '../../domain/queue.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { parseDisposition } from '../job-record.ts';
import type { KnownRecords } from '../known-records.ts';
import { bytes, instant, instantOrNull, int, int8, intOrNull, jobId, stringMapOrEmpty, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { inTime } from '../tokens.ts';
import { dispatchOrder, ROOM_BYTES } from './claim-share.ts';
import { firstFence, firstLeases, firstTry, isOpen, leaseColumns, slotColumns, type SlotParam, type Wish } from './first-claim.ts';

/** Of a token `r` nothing was told but that it was enqueued: it was never tried, and it has no concurrency key, for that would have let it in. */
const isPlain = sql`r.seq = 1`;

const head = sql`r.shard = ${shard} and r.queue_id = q.id and ${inTime} order by ${dispatchOrder(sql`r`)} limit ${param('wanted')}::int`;

const claimPlainStatement = statement<'now' | 'epochs' | SlotParam>(
  'claim-plain',
  sql`with ${clockOfQueues},
  q as materialized (
    select t.*, ${firstFence} as fence from c cross join lateral (select * from stint.queue where shard = ${shard} and id = ${param('queueId')}::int offset 0) t
     where not exists (select from stint.gate g where g.shard = ${shard} and g.queue_id = ${param('queueId')}::int) and ${isOpen}),
  seen as materialized (
    select coalesce(sum(u.size) < ${ROOM_BYTES} and bool_and(u.plain), true) as fits
      from q cross join lateral (select r.size, ${isPlain} as plain from stint.ready r where ${head}) u),
  picked as materialized (
    select u.* from q cross join lateral (
      select r.ctid as tid, r.size, ${isPlain} as plain from stint.ready r where (select fits from seen) and ${head} for update skip locked) u),
  found as materialized (
    select seen.fits and coalesce(sum(p.size) < ${ROOM_BYTES} and bool_and(p.plain), true) as fits, array_agg(p.tid) as tids
      from seen left join picked p on true group by seen.fits),
  taken as (
    delete from stint.ready r where r.shard = ${shard} and r.ctid = any(array(select unnest(tids) from found where fits))
    returning r.job, r.rank, r.ord, r.size, r.start_ms, r.run_ms, r.life_until, r.fair_key),
  ${firstLeases()}
  select c.now, q.fence, q.max_attempts as queue_max_attempts, q.lease_duration_ms, w.*
    from q cross join c join found on found.fits left join (
      select x.n, x.slot, x.rank, ${leaseColumns}, j.id as job_id, j.type, j.max_attempts, j.run_at, j.created_at,
          j.content_type, nullif(j.headers, '{}') as headers, nullif(j.labels, '{}') as labels, j.idempotency_key, j.disposition, j.fairness_key, j.payload
        from given x cross join c cross join lateral (
          select * from stint.job where shard = ${shard} and id = x.job offset 0) j) w on true`,
);

export interface PlainClaim extends Wish {
  /** Gains those of the jobs that are given. */
  readonly records: KnownRecords;
}

/** What was given of a queue that nothing bounds, for each slot; null where the whole statement has to look: nothing was done. */
export async function claimPlain(run: Run, now: string | null, { records, ...wish }: PlainClaim): Promise<Given | null> {
  const { queue, slots } = wish;
  const rows = await run(claimPlainStatement, { now, epochs: epochsOf([queue]), ...slotColumns(wish) });
  if (rows.length === 0) return null;
  const jobs: ClaimedJob[][] = slots.map(() => []);
  const inOrder: Row[] = [];
  for (const row of rows) if (row['n'] !== null) inOrder[int(row, 'n') - 1] = row;
  for (const row of inOrder) {
    const place = int(row, 'slot') - 1;
    const slot = slots[place];
    if (slot === undefined) throw new Error('the database gave a job to a slot that was not sent');
    const given = parsePlain(row, queue, slot);
    jobs[place]?.push(given);
    records.add(slot, { record: given.job, maxAttempts: intOrNull(row, 'max_attempts') });
  }
  return { jobs, limits: [], oneSlot: false };
}

/** The first try of a job, by the clock and the settings that the statement read. */
function parsePlain(row: Row, queue: Queue, slot: ClaimSlot): ClaimedJob {
  return firstTry(
    {
      namespace: queue.namespace,
      queue: queue.name,
      jobId: jobId(row, 'job_id'),
      type: text(row, 'type'),
      state: 'READY',
      priority: Number(-int8(row, 'rank')),
      life: 1,
      attempt: 0,
      maxAttempts: intOrNull(row, 'max_attempts') ?? int(row, 'queue_max_attempts'),
      fence: 0n,
      runAt: instantOrNull(row, 'run_at'),
      createdAt: instant(row, 'created_at'),
      startedAt: null,
      finishedAt: null,
      lastSequence: 1,
      contentType: text(row, 'content_type'),
      result: null,
      resultContentType: '',
      failure: null,
      idempotencyKey: textOrNull(row, 'idempotency_key') ?? '',
      concurrencyKey: '',
      labels: stringMapOrEmpty(row, 'labels'),
      headers: stringMapOrEmpty(row, 'headers'),
      workerId: '',
      leaseExpiresAt: null,
      disposition: parseDisposition(int(row, 'disposition')),
      fairnessKey: textOrNull(row, 'fairness_key') ?? '',
      asked: null,
    },
    slot,
    {
      now: instant(row, 'now'),
      fence: int8(row, 'fence'),
      leaseDurationMs: int(row, 'lease_duration_ms'),
      until: instantOrNull(row, 'until'),
      ttlMs: int(row, 'ttl_ms'),
      payload: bytes(row, 'payload'),
    },
  );
}
