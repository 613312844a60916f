/**
 * Claim from one queue that nothing bounds, of jobs that have never been tried or touched: no gate, no floor, no concurrency key, no former failure.
 * What the whole statement (`claim.ts`) does for those is to move the token and read the record, and most of its cost is to begin:
 * its plan has three times the nodes. Where it finds anything else at the head of the backlog it does nothing, and says so.
 *
 * Uses the primary key of `ready` and reads `wanted` entries of it, once to see what they are and once to take them: what were locked and
 * left would be hidden from another claim, and nobody would tell it when it comes back.
 */
import { sql } from 'drizzle-orm';
import { CLAIMED_AND_STARTED_CODE, EVENT_CODES } from '../../domain/event.ts';
import { formatLeaseToken, heartbeatIntervalMs } from '../../domain/lease.ts';
import { type ClaimChannel, CLOSED_MODE, MODE_CODES, type Queue, STATUS_CODES } from '../../domain/queue.ts';
import type { ClaimedJob, ClaimSlot, Given } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import { ONLY_SHARD, type Run } from '../database.ts';
import { parseDisposition } from '../job-record.ts';
import type { KnownRecords } from '../known-records.ts';
import { movesOfQueue } from '../moves.ts';
import { bytes, instant, instantOrNull, int, int8, intOrNull, jobId, stringMapOrEmpty, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { inTime } from '../tokens.ts';
import { dispatchOrder, ROOM_BYTES } from './claim-share.ts';

/** Of a token `r` nothing was told but that it was enqueued: it was never tried, and it has no concurrency key, for that would have let it in. */
const isPlain = sql`r.seq = 1`;

const head = sql`r.shard = ${shard} and r.queue_id = q.id and ${inTime} order by ${dispatchOrder(sql`r`)} limit ${param('wanted')}::int`;

/** Of the tokens `g` that were given of the queue `q`. */
const moved = movesOfQueue(sql`q.id`, {
  grown: {
    READY: sql`-count(*)::int`,
    LEASED: sql`count(*) filter (where not g.start)::int`,
    RUNNING: sql`count(*) filter (where g.start)::int`,
  },
  claimed: sql`count(*)::int`,
});

const claimPlainStatement = statement<PlainParam>(
  'claim-plain',
  sql`with ${clockOfQueues},
  q as materialized (
    select q.*, greatest(1, c.epoch::bigint << 32) as fence from c cross join lateral (select * from stint.queue where shard = ${shard} and id = ${param('queueId')}::int offset 0) q
     where q.mode <> ${param('closedMode')}::smallint and q.status not in (${STATUS_CODES.PAUSED}, ${STATUS_CODES.DRAINING_IN_FLIGHT})
       and not exists (select from stint.gate g where g.shard = ${shard} and g.queue_id = ${param('queueId')}::int)
       and not exists (select from stint.floor f where f.shard = ${shard} and f.queue_id = ${param('queueId')}::int)
       and not exists (select from stint.paused_namespace n where n.shard = ${shard} and n.namespace = ${param('namespace')}::text)),
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
  given as materialized (
    select k.*, s.slot, (${param('secrets')}::uuid[])[s.slot] as token, (${param('workers')}::text[])[s.slot] as worker,
        (${param('requests')}::text[])[s.slot] as request, d.duration_ms, d.run_until, d.start,
        least(c.now + d.duration_ms * interval '1 millisecond', d.run_until, k.life_until) as until
      from (select t.*, row_number() over (order by t.rank, t.ord, t.job)::int as n from taken t) k
      cross join c cross join q
      cross join lateral (select (${param('slotOf')}::int[])[k.n] as slot) s
      cross join lateral (select coalesce((${param('durations')}::int[])[s.slot], q.lease_duration_ms) as duration_ms,
                                 (${param('starts')}::boolean[])[s.slot] as start,
                                 case when (${param('starts')}::boolean[])[s.slot] then c.now + k.run_ms * interval '1 millisecond' end as run_until) d),
  leased as (
    insert into stint.lease (shard, job, token, namespace, worker, request, until, duration_ms, grace_ms, queue_id, rank, ord,
        claimed_at, claimed_seq, started_at, started_seq, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until,
        fair_key, run_until)
    select ${shard}, g.job, g.token, q.namespace, g.worker, g.request, g.until, g.duration_ms, q.lease_grace_ms, q.id, g.rank, g.ord,
        c.now, 2, case when g.start then c.now end, case when g.start then 3 end, 1, q.fence, 1, case when g.start then 3 else 2 end, 0, g.size, false,
        g.start_ms, g.run_ms, g.life_until, g.fair_key, g.run_until
      from given g cross join c cross join q),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, moves)
    select ${shard}, c.epoch, c.now, array_agg((case when g.start then ${CLAIMED_AND_STARTED_CODE} else ${EVENT_CODES.claimed} end)::smallint),
        array_agg(g.job), array_fill(2::bigint, array[count(*)::int]), array_fill(q.id, array[count(*)::int]), array_fill(1, array[count(*)::int]),
        array_fill(1, array[count(*)::int]), array_fill(q.fence, array[count(*)::int]), array_agg(g.worker),
        array[${moved}]
      from given g cross join c cross join q group by c.epoch, c.now, q.id, q.fence)
  select c.now, q.fence, q.max_attempts as queue_max_attempts, q.lease_duration_ms, w.*
    from q cross join c join found on found.fits left join (
      select x.n, x.slot, x.rank, case when x.run_until is not null or x.life_until is not null then x.until end as until,
          floor(extract(epoch from x.until - c.now) * 1000)::int as ttl_ms, j.id as job_id, j.type, j.max_attempts, j.run_at, j.created_at,
          j.content_type, nullif(j.headers, '{}') as headers, nullif(j.labels, '{}') as labels, j.idempotency_key, j.disposition, j.fairness_key, j.payload
        from given x cross join c cross join lateral (
          select * from stint.job where shard = ${shard} and id = x.job offset 0) j) w on true`,
);

const MICROS_A_MS = 1_000;

type PlainParam =
  | 'now'
  | 'epochs'
  | 'namespace'
  | 'queueId'
  | 'closedMode'
  | 'wanted'
  | 'slotOf'
  | 'workers'
  | 'secrets'
  | 'durations'
  | 'starts'
  | 'requests';

export interface PlainClaim {
  readonly queue: Queue;
  readonly slots: readonly ClaimSlot[];
  /** The number of the slot, from 1, for each job that is wanted. */
  readonly slotOf: readonly number[];
  readonly channel: ClaimChannel;
  /** Gains those of the jobs that are given. */
  readonly records: KnownRecords;
}

/** What was given of a queue that nothing bounds, for each slot; null where the whole statement has to look: nothing was done. */
export async function claimPlain(
  run: Run,
  now: string | null,
  { queue, slots, slotOf, channel, records }: PlainClaim,
): Promise<Given | null> {
  const rows = await run(claimPlainStatement, {
    now,
    epochs: epochsOf([queue]),
    namespace: queue.namespace,
    queueId: queue.id,
    closedMode: MODE_CODES[CLOSED_MODE[channel]],
    wanted: slotOf.length,
    slotOf: plainArray(slotOf),
    workers: textArray(slots.map((slot) => slot.workerId)),
    secrets: plainArray(slots.map((slot) => slot.secret)),
    durations: plainArray(slots.map((slot) => slot.leaseDurationMs)),
    starts: plainArray(slots.map((slot) => slot.startOnClaim)),
    requests: textArray(slots.map((slot) => slot.requestId)),
  });
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
  const now = instant(row, 'now');
  const fence = int8(row, 'fence');
  const id = jobId(row, 'job_id');
  const durationMs = slot.leaseDurationMs ?? int(row, 'lease_duration_ms');
  const expiresAt = instantOrNull(row, 'until') ?? now + durationMs * MICROS_A_MS;
  return {
    job: {
      namespace: queue.namespace,
      queue: queue.name,
      jobId: id,
      type: text(row, 'type'),
      state: slot.startOnClaim ? 'RUNNING' : 'LEASED',
      priority: Number(-int8(row, 'rank')),
      life: 1,
      attempt: 1,
      maxAttempts: intOrNull(row, 'max_attempts') ?? int(row, 'queue_max_attempts'),
      fence,
      runAt: instantOrNull(row, 'run_at'),
      createdAt: instant(row, 'created_at'),
      startedAt: slot.startOnClaim ? now : null,
      finishedAt: null,
      lastSequence: slot.startOnClaim ? 3 : 2,
      contentType: text(row, 'content_type'),
      result: null,
      resultContentType: '',
      failure: null,
      idempotencyKey: textOrNull(row, 'idempotency_key') ?? '',
      concurrencyKey: '',
      labels: stringMapOrEmpty(row, 'labels'),
      headers: stringMapOrEmpty(row, 'headers'),
      workerId: slot.workerId,
      leaseExpiresAt: expiresAt,
      disposition: parseDisposition(int(row, 'disposition')),
      fairnessKey: textOrNull(row, 'fairness_key') ?? '',
      asked: null,
    },
    payload: bytes(row, 'payload'),
    lease: {
      leaseToken: formatLeaseToken({ shard: ONLY_SHARD, jobId: id, fence, secret: slot.secret }),
      attempt: 1,
      fence,
      expiresAt,
      ttlMs: int(row, 'ttl_ms'),
      heartbeatIntervalMs: heartbeatIntervalMs(durationMs),
    },
    checkpoint: null,
  };
}
