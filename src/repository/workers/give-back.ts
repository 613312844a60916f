/**
 * Release and suspend: the try ends unspent, and the job goes back to wait. Once its cancellation was asked for it ends CANCELLED
 * instead; past its free releases with no attempt left it fails for good.
 */
import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { Job } from '../../domain/job.ts';
import { RELEASE_LIMIT } from '../../domain/lease.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { SettleOutcome } from '../../engine/ports/repository.ts';
import { clock } from '../clock.ts';
import { endedDetail, endedTry, freedByEndedTry, movedByEndedTry } from '../ended-try.ts';
import { counted, heldState } from '../gates.ts';
import { deleteHeld } from '../held-leases.ts';
import { toldOfX, askedOrNull, formerFailureOfX, jobOfX, jobRecordColumns, parseJobRecord, wholeJob } from '../job-record.ts';
import { moves } from '../moves.ts';
import { bool, failureJson, failureOrNull, int, int8, instant, instantOrNull, text, type Row } from '../row.ts';
import { touchedSlots } from '../slots.ts';
import { sortedByRecord } from '../sorted-queues.ts';
import { param, shard } from '../statement.ts';
import { carried, DEFERRED, giveUpAt, PARKED } from '../tokens.ts';

/** Events of a try that is given back. */
type GivenBack = typeof EVENT_CODES.released | typeof EVENT_CODES.suspended;

/**
 * CTE `b`: the locked leases with what becomes of each. Only releases are counted: a life has so many that spend nothing. `fate` is
 * null for a job that goes back.
 */
const judged = (type: GivenBack, { backAt, reason }: { backAt: SQL; reason: SQL }) => {
  const free = type === EVENT_CODES.released ? sql`m.releases < ${LIMITS.releasesPerLife}` : sql`true`;
  return sql`b as materialized (
  select m.*, ${free} as refunded, ${backAt} as due_at, ${reason} as reason, ${type}::smallint as ended_type, false as dead_lettered,
      case when m.cancel_deadline is not null then ${EVENT_CODES.cancelled}
        when ${free} then null
        when m.attempt >= (
          select coalesce(j.max_attempts, q.max_attempts) from stint.job j, stint.queue q
           where j.shard = ${shard} and j.id = m.job and q.shard = ${shard} and q.id = m.queue_id) then ${EVENT_CODES.failed}
      end as fate,
      m.lock_key is not null and (select q.concurrency_hold from stint.queue q where q.shard = ${shard} and q.id = m.queue_id) as keeps
    from m cross join c)`;
};

/**
 * A released job keeps its position, where its key has a slot for it, or waits out its delay; a suspended one waits for whoever resumes it. The first checkpoint of a
 * job adds the largest one to its size, as a heartbeat's does.
 */
const goneBack = (type: GivenBack) => {
  const released = type === EVENT_CODES.released;
  const waits = released
    ? sql`gr as (
  insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried}, give_up_at, type)
  select ${shard}, queue_id, rank, ord, job, left_attempt, fence, life, seq + 1, releases + 1, ${carried}, ${giveUpAt}, ${sortedByRecord}
    from g x cross join c where due_at is null and lock_key is null),
gb as (
  insert into stint.parked (shard, job, kind, queue_id, rank, ord, attempt, fence, life, seq, releases, ${carried}, holds)
  select ${shard}, job, ${PARKED.blocked}, queue_id, rank, ord, left_attempt, fence, life, seq + 1, releases + 1, ${carried}, keeps
    from g where due_at is null and lock_key is not null),
gd as (
  insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, ${carried}, holds)
  select ${shard}, job, due_at, ${DEFERRED.scheduled}, queue_id, rank, left_attempt, fence, life, seq + 1, releases + 1, ${carried}, keeps
    from g where due_at is not null)`
    : sql`gk as (
  insert into stint.parked (shard, job, kind, queue_id, rank, attempt, fence, life, seq, releases, ${carried}, holds)
  select ${shard}, job, ${PARKED.suspended}, queue_id, rank, left_attempt, fence, life, seq + 1, releases,
      case when checkpoint is not null and not checkpointed then size + ${LIMITS.checkpointBytes} else size end,
      checkpointed or checkpoint is not null, start_ms, run_ms, life_until, lock_key, fair_key, keeps from g)`;
  return sql`g as materialized (
  select b.*, case when refunded then attempt - 1 else attempt end as left_attempt from b where fate is null),
ga as (
  insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at,
      started_seq, started_at, ended_seq, ended_at, ended_type, due_at, dead_lettered, reason)
  select ${shard}, job, fence, attempt, refunded, life, token, ${settlementOf(type)}, worker, claimed_seq, claimed_at, started_seq, started_at,
      seq + 1, c.now, ended_type, due_at, false, reason from g cross join c),
${waits},
ge as (
  insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(ended_type), array_agg(job), array_agg(seq + 1), array_agg(queue_id),
      array_agg(life), array_agg(left_attempt), array_agg(fence), array_agg(worker),
      array_agg((${endedDetail(sql`j`, sql`j.lock_key is not null`)})::text), ${moves(movedBack(type))}
    from (select g.*, null::jsonb as failure from g) j cross join c group by c.epoch, c.now)`;
};

const stateGoneBackTo = (type: GivenBack) =>
  type === EVENT_CODES.released
    ? sql`case when due_at is not null then 'SCHEDULED' when lock_key is null then 'READY' else 'BLOCKED' end`
    : sql`'SUSPENDED'`;

const movedBack = (type: GivenBack) => sql`select queue_id, ${heldState(sql`g`)} as was, ${stateGoneBackTo(type)} as becomes from g`;

/** A slot that is not kept is free; one that is, is not: for `touchedSlots`. */
const slotsGoneBack = sql`select queue_id, lock_key, case when keeps then 0 else -1 end as held, 0 as ready, null::timestamptz as throttle_until from g`;

const settlementOf = (type: GivenBack) => (type === EVENT_CODES.released ? sql`'release'` : sql`'suspend'`);

/** Those that do not go back end in the same commit: cancelled, or failed, for a job handed round for ever is poison too. */
const ended = (type: GivenBack) => sql`o as materialized (
  select b.n, b.job, b.token, b.fence, b.attempt, b.life, b.seq, b.queue_id, b.rank, b.ord, b.releases, b.size, b.checkpointed, b.start_ms,
      b.run_ms, b.life_until, b.lock_key, b.fair_key, b.worker, b.claimed_seq, b.claimed_at, b.started_seq, b.started_at,
      nullif(b.fate, ${EVENT_CODES.failed}) as fate, case when b.fate = ${EVENT_CODES.failed} then f.failure end as failure,
      f.failure ->> 'code' as failure_code, false as retryable, null::bigint as retry_after_ms, null::timestamptz as throttle_until, 1::float8 as jitter_factor,
      ${settlementOf(type)} as settlement
    from b cross join (select ${param('failure')}::text::jsonb as failure) f where b.fate is not null)`;

/** The statement behind the CTE `m` of locked leases, which takes `failure` as a parameter. */
export function giveBackText(type: GivenBack, m: SQL, how: { backAt: SQL; reason: SQL }, alsoCtes: SQL = sql``): SQL {
  return sql`with ${clock},
  ${m},
  ${judged(type, how)},
  ${deleteHeld},
  ${goneBack(type)},
  ${ended(type)},
  ${endedTry(sql`o`)},
  ${counted(sql`${movedBack(type)} union all ${movedByEndedTry}`)},
  ${touchedSlots(sql`${slotsGoneBack} union all ${freedByEndedTry}`)} ${alsoCtes}
  select x.n, x.fate, x.life, case when x.fate is null and x.refunded then x.attempt - 1 else x.attempt end as attempt, x.fence,
         x.seq + 1 as seq, x.worker, x.started_at, x.due_at, x.rank as x_rank, c.now as ended_at, ${jobRecordColumns}, ${formerFailureOfX},
         ${toldOfX}, coalesce((select v.dead_lettered from v where v.n = x.n), false) as dead_lettered
    from b x cross join c ${jobOfX}`;
}

/** The value of the parameter `failure`. */
export const RELEASE_LIMIT_JSON = JSON.stringify(failureJson(RELEASE_LIMIT));

/** `stays` is the state of a job that went back without a time. */
export function givenBack(row: Row, stays: 'READY' | 'SUSPENDED', suspendReason: string): SettleOutcome {
  const record = parseJobRecord(row);
  const ending = endOf(row, record.runAt, stays);
  const asked = askedOrNull(row);
  const abandonRequestedAt = asked?.abandonRequestedAt ?? null;
  const suspended = { cancelRequestedAt: null, cancelDeadline: null, cancelReason: '', abandonRequestedAt, suspendReason };
  return {
    kind: 'applied',
    ...(bool(row, 'dead_lettered') ? { deadLettered: true } : {}),
    job: wholeJob(record, {
      ...ending,
      priority: Number(-int8(row, 'x_rank')),
      life: int(row, 'life'),
      attempt: int(row, 'attempt'),
      fence: int8(row, 'fence'),
      startedAt: instantOrNull(row, 'started_at'),
      lastSequence: int(row, 'seq'),
      result: null,
      resultContentType: '',
      workerId: text(row, 'worker'),
      leaseExpiresAt: null,
      asked: ending.state === 'SUSPENDED' ? suspended : asked,
    }),
  };
}

function endOf(row: Row, runAt: Job['runAt'], stays: 'READY' | 'SUSPENDED'): Pick<Job, 'state' | 'runAt' | 'finishedAt' | 'failure'> {
  const failure = failureOrNull(row, 'former_failure');
  const finishedAt = instant(row, 'ended_at');
  if (row['fate'] === EVENT_CODES.cancelled) return { state: 'CANCELLED', runAt, finishedAt, failure };
  if (row['fate'] === EVENT_CODES.failed) return { state: 'FAILED', runAt, finishedAt, failure: RELEASE_LIMIT };
  const backAt = instantOrNull(row, 'due_at');
  return { state: backAt === null ? stays : 'SCHEDULED', runAt: backAt ?? runAt, finishedAt: null, failure };
}
