/**
 * What follows when a try ends and its job does not succeed, whoever says so: its holder or its clock. The policy decides between
 * another try and the end, unless a fate is told; everything is written in the statement that took the lease.
 */
import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../domain/event.ts';
import { deadLetters, movedByCopies } from './dead-letters.ts';
import { heldState } from './gates.ts';
import { moves } from './moves.ts';
import { retryDelayMs } from './retry-delay.ts';
import { shard } from './statement.ts';
import { carried, DEFERRED } from './tokens.ts';

const microseconds = (at: SQL) => sql`(extract(epoch from ${at}) * 1000000)::bigint`;

/** What the life's latest request of a type said. */
const reasonOf = (code: number) => sql`(
  select e.detail::jsonb ->> 'm' from stint.job_event e
   where e.shard = ${shard} and e.job = d.job and e.type = ${code} and e.life = d.life order by e.seq desc limit 1)`;

/** How the tokens of `v` moved. */
const moved = sql`select queue_id, ${heldState(sql`v`)} as was,
    case when ended_type = ${EVENT_CODES.retry_scheduled} then 'RETRY_WAIT' end as becomes, ended_type, dead_lettered from v`;

/**
 * CTEs over the locked leases in `source`, with `failure` (jsonb), `failure_code`, `retryable`, `retry_after_ms`, `throttle_until`, `jitter_factor`,
 * `settlement` and `fate` (event code of a cancellation or an abandonment, or null) beside them. `v` is the same with the decision:
 * `ended_type`, `due_at`, `dead_lettered`, `reason`.
 */
export const endedTry = (source: SQL): SQL => sql`p as materialized (
  select m.*, coalesce(j.max_attempts, q.max_attempts) as max_attempts,
      coalesce(j.initial_backoff_ms, q.initial_backoff_ms) as initial_backoff_ms, coalesce(j.multiplier, q.multiplier) as multiplier,
      coalesce(j.max_backoff_ms, q.max_backoff_ms) as max_backoff_ms, coalesce(j.jitter, q.jitter) as jitter,
      coalesce(j.non_retryable_codes, q.non_retryable_codes) as non_retryable_codes, q.dead_letter_enabled, q.dead_letter_payload_bytes,
      q.dead_letter_queue_id, m.lock_key is not null and q.concurrency_hold as keeps
    from ${source} m
    cross join lateral (select * from stint.job where shard = ${shard} and id = m.job offset 0) j
    cross join lateral (select * from stint.queue where shard = ${shard} and id = m.queue_id offset 0) q),
v as materialized (
  select d.*, d.ended_type = ${EVENT_CODES.failed} and d.dead_letter_enabled as dead_lettered,
      case when d.ended_type = ${EVENT_CODES.retry_scheduled} then greatest(c.now + d.delay_ms * interval '1 millisecond', d.throttle_until) end as due_at,
      case d.ended_type when ${EVENT_CODES.cancelled} then coalesce(${reasonOf(EVENT_CODES.cancel_requested)}, '')
        when ${EVENT_CODES.abandoned} then coalesce(${reasonOf(EVENT_CODES.abandon_requested)}, d.failure ->> 'message') end as reason
    from (select p.*, coalesce(p.fate, case when p.retryable and p.attempt < p.max_attempts and not p.failure_code = any(p.non_retryable_codes)
                then ${EVENT_CODES.retry_scheduled} else ${EVENT_CODES.failed} end) as ended_type,
              coalesce(p.retry_after_ms::float8, ${retryDelayMs}) as delay_ms from p) d cross join c),
a as (
  insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at,
      started_seq, started_at, ended_seq, ended_at, ended_type, failure, due_at, dead_lettered, reason)
  select ${shard}, job, fence, attempt, false, life, token, settlement, worker, claimed_seq, claimed_at, started_seq, started_at,
      seq + 1, c.now, ended_type, failure, due_at, dead_lettered, reason
    from v cross join c),
w as (
  insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, ${carried}, holds)
  select ${shard}, job, due_at, ${DEFERRED.retryWait}, queue_id, rank, attempt, fence, life, seq + 1, releases, ${carried}, keeps from v
   where ended_type = ${EVENT_CODES.retry_scheduled}),
t as (
  insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at, failure)
  select ${shard}, job, life, seq + 1, ended_type, attempt, fence, c.now, failure from v cross join c
   where ended_type <> ${EVENT_CODES.retry_scheduled}),
${deadLetters(sql`v`)},
e as (
  insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(ended_type), array_agg(job), array_agg(seq + 1), array_agg(queue_id), array_agg(life),
      array_agg(attempt), array_agg(fence), array_agg(worker), array_agg((${endedDetail(sql`v`, sql`false`)})::text),
      ${moves(moved, { failed: sql`t.ended_type in (${EVENT_CODES.retry_scheduled}, ${EVENT_CODES.failed})`, dead: sql`t.dead_lettered::int` })}
    from v cross join c group by c.epoch, c.now)`;

/** The same with those of the copies: for `counted`. */
export const movedByEndedTry = sql`select queue_id, was, becomes from (${moved}) e union all ${movedByCopies}`;

/** What they did to the slots of their keys: for `touchedSlots`. */
export const freedByEndedTry = sql`select queue_id, lock_key, case when ended_type = ${EVENT_CODES.retry_scheduled} and keeps then 0 else -1 end as held,
    0 as ready, throttle_until from v`;

/**
 * What the event of an ended try tells, from a row with `ended_type`, `failure`, `due_at`, `attempt`, `dead_lettered` and `reason`, and
 * whether its job has a concurrency key.
 */
export function endedDetail(row: SQL, isKeyed: SQL): SQL {
  return sql`case ${row}.ended_type
    when ${EVENT_CODES.released} then case when ${row}.due_at is not null then jsonb_build_object('r', ${microseconds(sql`${row}.due_at`)})
      when ${isKeyed} then '{"b":true}' end
    when ${EVENT_CODES.retry_scheduled} then
      jsonb_build_object('f', ${row}.failure, 'r', ${microseconds(sql`${row}.due_at`)}, 'n', ${row}.attempt + 1)
    when ${EVENT_CODES.failed} then jsonb_build_object('f', ${row}.failure, 'd', ${row}.dead_lettered)
    when ${EVENT_CODES.suspended} then jsonb_build_object('m', ${row}.reason)
    when ${EVENT_CODES.cancelled} then jsonb_build_object('m', ${row}.reason)
    when ${EVENT_CODES.abandoned} then jsonb_build_object('m', ${row}.reason, 'f', ${row}.failure) end`;
}
