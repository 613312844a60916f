/**
 * Claim: takes tokens off the left edge of `ready` in (rank, ord, job) order and hands them to the waiting slots in turn.
 * Uses the primary key of `ready` and reads `max_jobs` entries of it, once to count what fits and once
 * to take it, whatever the backlog.
 *
 * `ctid = any(array(...))`, not `ctid in (select ... limit ...)`: under a nested loop the latter re-runs its limit and
 * takes too many. A ctid is safe here, because rows of `ready` are never updated.
 */
import { sql, type SQL } from 'drizzle-orm';
import { CLAIMED_AND_STARTED_CODE, EVENT_CODES } from '../../domain/event.ts';
import { LIMITS } from '../../domain/limits.ts';
import { type ClaimChannel, CLOSED_MODE, MODE_CODES, type Queue, STATUS_CODES } from '../../domain/queue.ts';
import type { QueueLimit } from '../../engine/ports/queues.ts';
import type { ClaimedJob, ClaimSlot, Given } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clockBehindGates, epochsOf } from '../clock.ts';
import { claimedJobColumns, parseClaimedJob } from '../claimed-job.ts';
import type { Run } from '../database.ts';
import { bucketLevel, counted, lockedGates } from '../gates.ts';
import { jobOfX } from '../job-record.ts';
import { moves } from '../moves.ts';
import { int, intOrNull, text, type Row } from '../row.ts';
import { claimedSlots } from '../slots.ts';
import { param, shard, statement } from '../statement.ts';
import { carried } from '../tokens.ts';
import { cappedIn, chosenSlot, heldByWorkers, isHeldByWorker, roomOfWorker, wantedByChosen } from '../worker-bounds.ts';
import {
  type Backlog,
  byType,
  dispatchOrder,
  locked,
  ROOM_BYTES,
  shareOfAny,
  shareOfEach,
  shareOfMany,
  shareOfOne,
  wholeQueues,
} from './claim-share.ts';

/**
 * What limits each queue, whoever asks. Gates are locked first, so a bound is never passed; what lies behind it is not read. The namespace of
 * all the queues is one.
 */
const limitedQueues = (limiters: SQL) => sql`limited as materialized (
    select q.id as queue_id, q.name, gl.max_in_flight, gl.leased + gl.running as in_flight, gl.ready, gl.rate_permits, gl.rate_period_ms,
        gl.max_per_worker, held.held, b.level,
        case when q.mode = ${param('closedMode')}::smallint then 'MODE'
          when q.status in (${STATUS_CODES.PAUSED}, ${STATUS_CODES.DRAINING_IN_FLIGHT}) or (
            select true from stint.paused_namespace n where n.shard = ${shard} and n.namespace = ${param('namespace')}::text) then 'STATUS'
          ${limiters}
          when gl.max_in_flight <= gl.leased + gl.running then 'MAX_IN_FLIGHT'
          when b.level < 1 then 'RATE' end as limiter
      from unnest(${param('queueIds')}::int[]) as t(queue_id)
      cross join lateral (select * from stint.queue where shard = ${shard} and id = t.queue_id offset 0) q
      left join gl on gl.queue_id = q.id left join held on held.queue_id = q.id cross join c
      cross join lateral (select case when gl.rate_permits is not null then ${bucketLevel(sql`gl`)} end as level) b)`;

/** What each queue gives just now: `most` jobs, none where `limiter` says why. */
const openQueues = sql`open as materialized (
    select l.*, case when l.limiter is null then least((select n from wanted), l.max_in_flight - l.in_flight, floor(l.level)::int, ${roomOfWorker})
        else 0 end as most, coalesce(l.limiter, case when ${isHeldByWorker} then 'PER_WORKER' end) as why
      from limited l)`;

const moved = sql`select queue_id, 'READY' as was, case when started_seq is null then 'LEASED' else 'RUNNING' end as becomes from given`;

/** How many jobs are wanted; none as long as a queue must be sorted by type first. */
const wanted = sql`wanted as materialized (
    select case when exists (select from limited where limiter = 'UNSORTED') then 0 else coalesce(${wantedByChosen}, ${param('wanted')}::int) end as n)`;

function claimText(backlog: Backlog, share: SQL): SQL {
  return sql`with ${lockedGates(sql`${param('queueIds')}::int[]`)}, ${clockBehindGates}, ${heldByWorkers}, ${limitedQueues(backlog.limiters)},
  ${chosenSlot(backlog.oneJob)}, ${wanted}, ${openQueues}, ${backlog.spans}, ${share},
  picked as materialized (${locked(backlog)}),
  fitting as materialized (
    select tid from (select tid, size, sum(size) over o as total, row_number() over o as place from picked p window o as (order by ${dispatchOrder(sql`p`)})) w
     where total - size < ${ROOM_BYTES} and place <= (select n from wanted)),
  taken as (
    delete from stint.ready where shard = ${shard} and ctid = any(array(select tid from fitting)) returning *),
  given as materialized (
    select k.n, s.slot, k.job, k.queue_id, k.rank, k.ord, k.life, k.releases, k.size, k.checkpointed, k.start_ms, k.run_ms, k.life_until, k.lock_key, k.fair_key,
           q.namespace,
           q.lease_grace_ms as grace_ms, (${param('workers')}::text[])[s.slot] as worker,
           (${param('secrets')}::uuid[])[s.slot] as token, (${param('requests')}::text[])[s.slot] as request, d.duration_ms,
           least(c.now + d.duration_ms * interval '1 millisecond', d.run_until, k.life_until) as until, d.run_until,
           null::timestamptz as cancel_deadline, c.now as claimed_at, k.seq + 1 as claimed_seq,
           case when d.start then c.now end as started_at, case when d.start then k.seq + 2 end as started_seq,
           case when d.start then k.seq + 2 else k.seq + 1 end as seq, k.attempt + 1 as attempt,
           greatest(k.fence + 1, c.epoch::bigint << 32) as fence
      from (select t.*, row_number() over (order by t.rank, t.ord, t.job)::int as n from taken t) k
      cross join c
      cross join lateral (select coalesce((select slot from chosen), (${param('slotOf')}::int[])[k.n]) as slot) s
      cross join lateral (select * from stint.queue where shard = ${shard} and id = k.queue_id offset 0) q
      cross join lateral (select coalesce((${param('durations')}::int[])[s.slot], q.lease_duration_ms) as duration_ms,
                                 (${param('starts')}::boolean[])[s.slot] as start,
                                 case when (${param('starts')}::boolean[])[s.slot] then c.now + k.run_ms * interval '1 millisecond' end as run_until) d),
  leased as (
    insert into stint.lease (shard, job, token, namespace, worker, request, until, duration_ms, grace_ms, queue_id, rank, ord,
        claimed_at, claimed_seq, started_at, started_seq, attempt, fence, life, seq, releases, ${carried}, run_until, capped)
    select ${shard}, job, token, namespace, worker, request, until, duration_ms, grace_ms, queue_id, rank, ord,
        claimed_at, claimed_seq, started_at, started_seq, attempt, fence, life, seq, releases, ${carried}, run_until, ${cappedIn(sql`queue_id`)} from given),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, moves)
    select ${shard}, c.epoch, c.now,
        array_agg(case when started_seq is null then ${EVENT_CODES.claimed} else ${CLAIMED_AND_STARTED_CODE} end order by n),
        array_agg(job order by n), array_agg(claimed_seq order by n), array_agg(queue_id order by n), array_agg(life order by n),
        array_agg(attempt order by n), array_agg(fence order by n), array_agg(worker order by n), ${moves(moved, { among: ['BLOCKED', 'READY', 'LEASED', 'RUNNING'] })}
      from given cross join c group by c.epoch, c.now),
  ${counted(moved)},
  ${claimedSlots}
  select l.*, exists (select from held) as one_slot, exists (select from share) and ${backlog.isSplit} as counted, w.* from (
      select jsonb_agg(jsonb_build_object('queue', name, 'limiter', why, 'ready', why = 'PER_WORKER' or ${backlog.waitsBehind},
          'openInMs', case when why = 'RATE' then ceil((1 - level) * rate_period_ms / rate_permits) end))
          filter (where why is not null) as limits from open o) l
    left join (select x.slot, x.n as place, ${claimedJobColumns(sql`x.until`)} from given x ${jobOfX}) w on true
   order by w.place`;
}

type ClaimParam =
  | 'now'
  | 'epochs'
  | 'namespace'
  | 'queueIds'
  | 'types'
  | 'closedMode'
  | 'wanted'
  | 'slotOf'
  | 'maxJobs'
  | 'workers'
  | 'secrets'
  | 'durations'
  | 'starts'
  | 'requests';

const oneQueue = [
  statement<ClaimParam>('claim', claimText(wholeQueues, shareOfOne)),
  statement<ClaimParam>('claim-each', claimText(wholeQueues, shareOfEach)),
];
const manyQueues = [
  statement<ClaimParam>('claim-many-queues', claimText(wholeQueues, shareOfMany(wholeQueues))),
  statement<ClaimParam>('claim-any-queue', claimText(wholeQueues, shareOfAny(wholeQueues))),
];
const typed = [
  statement<ClaimParam>('claim-types', claimText(byType, shareOfMany(byType))),
  statement<ClaimParam>('claim-any-type', claimText(byType, shareOfAny(byType))),
];

/**
 * Jobs for each slot, in dispatch order: the first slot gets the first `maxJobs`, the second the next. With types, only jobs of those. Where
 * a queue bounds what a worker holds, one of the slots alone gets any.
 */
export async function claim(
  run: Run,
  now: string | null,
  queues: readonly Queue[],
  slots: readonly ClaimSlot[],
  types: readonly string[] = [],
  channel: ClaimChannel = 'pull',
): Promise<Given> {
  const slotOf = placesOf(slots);
  const values = {
    now,
    epochs: epochsOf(queues),
    namespace: queues[0]?.namespace ?? '',
    queueIds: plainArray(queues.map((queue) => queue.id)),
    types: textArray(types),
    closedMode: MODE_CODES[CLOSED_MODE[channel]],
    wanted: slotOf.length,
    slotOf: plainArray(slotOf),
    maxJobs: plainArray(slots.map((slot) => slot.maxJobs)),
    workers: textArray(slots.map((slot) => slot.workerId)),
    secrets: plainArray(slots.map((slot) => slot.secret)),
    durations: plainArray(slots.map((slot) => slot.leaseDurationMs)),
    starts: plainArray(slots.map((slot) => slot.startOnClaim)),
    requests: textArray(slots.map((slot) => slot.requestId)),
  };
  const [first, again] = types.length > 0 ? typed : queues.length === 1 ? oneQueue : manyQueues;
  if (first === undefined) throw new Error('no statement claims');
  let rows = await run(first, values);
  // All that was counted may be in other hands by now, and more lie behind it: nobody would wake a claim for those.
  if (again !== undefined && rows[0]?.['counted'] === true && !rows.some(isJob)) rows = await run(again, values);
  const jobs: ClaimedJob[][] = slots.map(() => []);
  for (const row of rows.filter(isJob)) jobs[int(row, 'slot') - 1]?.push(parseClaimedJob(row));
  return { jobs, limits: parseLimits(rows[0]), oneSlot: rows[0]?.['one_slot'] === true };
}

/** The number of the slot, from 1 as Postgres counts, for each job that is wanted. */
export function placesOf(slots: readonly ClaimSlot[]): readonly number[] {
  return slots.flatMap((slot, index) => Array.from({ length: slot.maxJobs }, () => index + 1)).slice(0, LIMITS.claimJobs);
}

/** Where no job was given there is one row all the same: it tells what limits the queues. */
const isJob = (row: Row) => row['slot'] !== null;

const LIMITERS: readonly QueueLimit['limiter'][] = ['STATUS', 'MODE', 'UNSORTED', 'MAX_IN_FLIGHT', 'PER_WORKER', 'RATE'];

function parseLimits(row: Row | undefined): readonly QueueLimit[] {
  const limits: unknown = row?.['limits'];
  return Array.isArray(limits) ? limits.map(parseLimit) : [];
}

/** Without a gate nobody has counted what waits. */
function parseLimit(row: Row): QueueLimit {
  const limiter = LIMITERS.find((one) => one === row['limiter']);
  if (limiter === undefined) throw new Error('a queue is limited by something unknown');
  return { queue: text(row, 'queue'), limiter, ready: row['ready'] !== false, openInMs: intOrNull(row, 'openInMs') };
}
