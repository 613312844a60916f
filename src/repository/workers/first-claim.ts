/** What a statement does that gives jobs which were never tried: the leases, what the log tells of them, and the jobs as they are given. */
import { sql, type SQL } from 'drizzle-orm';
import { CLAIMED_AND_STARTED_CODE, EVENT_CODES } from '../../domain/event.ts';
import { CLOSED_MODE, type ClaimChannel, MODE_CODES, type Queue, STATUS_CODES } from '../../domain/queue.ts';
import { formatLeaseToken, heartbeatIntervalMs } from '../../domain/lease.ts';
import type { Job, Micros } from '../../domain/job.ts';
import type { ClaimedJob, ClaimSlot } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { ONLY_SHARD } from '../database.ts';
import { movesOfQueue } from '../moves.ts';
import { param, shard, type Value } from '../statement.ts';

/** Who wants jobs, an array a column; `slotOf` has the number of the slot, from 1, for each job that is wanted. */
export type SlotParam =
  'namespace' | 'queueId' | 'closedMode' | 'wanted' | 'slotOf' | 'workers' | 'secrets' | 'durations' | 'starts' | 'requests';

export interface Wish {
  readonly queue: Queue;
  readonly slots: readonly ClaimSlot[];
  /** The number of the slot, from 1, for each job that is wanted. */
  readonly slotOf: readonly number[];
  readonly channel: ClaimChannel;
}

export function slotColumns({ queue, slots, slotOf, channel }: Wish): Record<SlotParam, Value> {
  return {
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
  };
}

/** Whether the row `t` of a queue may be claimed from, and nothing bounds it but a gate, which is looked for apart. */
export const isOpen = sql`t.mode <> ${param('closedMode')}::smallint and t.status not in (${STATUS_CODES.PAUSED}, ${STATUS_CODES.DRAINING_IN_FLIGHT})
       and not exists (select from stint.floor f where f.shard = ${shard} and f.queue_id = ${param('queueId')}::int)
       and not exists (select from stint.paused_namespace n where n.shard = ${shard} and n.namespace = ${param('namespace')}::text)`;

/** The fence of a job that was never claimed, in the epoch of the clock `c`. */
export const firstFence = sql`greatest(1, c.epoch::bigint << 32)`;

/** Of the tokens `g` that were given of the queue `q`. */
const moved = movesOfQueue(sql`q.id`, {
  grown: {
    READY: sql`-count(*)::int`,
    LEASED: sql`count(*) filter (where not g.start)::int`,
    RUNNING: sql`count(*) filter (where g.start)::int`,
  },
  claimed: sql`count(*)::int`,
});

/**
 * CTEs: of the tokens `taken` those that are `given`, in dispatch order to the slots in turn, their leases, and the journal row that tells of it,
 * behind what `behind` joins. They need the clock `c` and the queue `q` with its first `fence`.
 */
export const firstLeases = (behind: SQL = sql``): SQL => sql`given as materialized (
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
  told as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, moves)
    select ${shard}, c.epoch, c.now, array_agg((case when g.start then ${CLAIMED_AND_STARTED_CODE} else ${EVENT_CODES.claimed} end)::smallint),
        array_agg(g.job), array_fill(2::bigint, array[count(*)::int]), array_fill(q.id, array[count(*)::int]), array_fill(1, array[count(*)::int]),
        array_fill(1, array[count(*)::int]), array_fill(q.fence, array[count(*)::int]), array_agg(g.worker),
        array[${moved}]
      from given g cross join c cross join q${behind} group by c.epoch, c.now, q.id, q.fence)`;

/** Of the row `x` of `given`: when its lease ends, where nothing but its duration ends it null, and how long that is. */
export const leaseColumns = sql`case when x.run_until is not null or x.life_until is not null then x.until end as until,
          floor(extract(epoch from x.until - c.now) * 1000)::int as ttl_ms`;

const MICROS_A_MS = 1_000;

/** What the statement knows of a first try besides its job. */
export interface FirstTry {
  /** The statement's time. */
  readonly now: Micros;
  readonly fence: bigint;
  /** How long a lease of the queue lasts where the worker does not say. */
  readonly leaseDurationMs: number;
  /** Null where nothing but its duration ends the lease. */
  readonly until: Micros | null;
  readonly ttlMs: number;
  readonly payload: Uint8Array;
}

/** A job on its first try, by what it was as it was enqueued. */
export function firstTry(enqueued: Job, slot: ClaimSlot, { now, fence, leaseDurationMs, until, ttlMs, payload }: FirstTry): ClaimedJob {
  const durationMs = slot.leaseDurationMs ?? leaseDurationMs;
  const expiresAt = until ?? now + durationMs * MICROS_A_MS;
  return {
    job: {
      ...enqueued,
      state: slot.startOnClaim ? 'RUNNING' : 'LEASED',
      attempt: 1,
      fence,
      startedAt: slot.startOnClaim ? now : null,
      lastSequence: slot.startOnClaim ? 3 : 2,
      workerId: slot.workerId,
      leaseExpiresAt: expiresAt,
    },
    payload,
    lease: {
      leaseToken: formatLeaseToken({ shard: ONLY_SHARD, jobId: enqueued.jobId, fence, secret: slot.secret }),
      attempt: 1,
      fence,
      expiresAt,
      ttlMs,
      heartbeatIntervalMs: heartbeatIntervalMs(durationMs),
    },
    checkpoint: null,
  };
}
