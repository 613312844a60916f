/**
 * What follows when a try ends by failure, whoever says so: its holder (fail) or its clock (expiry). The policy decides
 * between another try and the end, and everything is written in the statement that took the lease.
 */
import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../domain/event.ts';
import { retryDelayMs } from './retry-delay.ts';
import { shard } from './statement.ts';

/**
 * CTEs over the locked leases in `source`, with `failure` (jsonb), `failure_code`, `retryable`, `retry_after_ms`, `jitter_factor`
 * and `settlement` beside them. `v` is the same with the decision: `retry`, `due_at`, `dead_lettered`.
 */
export const endedByFailure = (source: SQL): SQL => sql`p as materialized (
  select m.*, coalesce(j.max_attempts, q.max_attempts) as max_attempts,
      coalesce(j.initial_backoff_ms, q.initial_backoff_ms) as initial_backoff_ms, coalesce(j.multiplier, q.multiplier) as multiplier,
      coalesce(j.max_backoff_ms, q.max_backoff_ms) as max_backoff_ms, coalesce(j.jitter, q.jitter) as jitter,
      coalesce(j.non_retryable_codes, q.non_retryable_codes) as non_retryable_codes, q.dead_letter_enabled
    from ${source} m
    cross join lateral (select * from stint.job where shard = ${shard} and id = m.job offset 0) j
    cross join lateral (select * from stint.queue where shard = ${shard} and id = m.queue_id offset 0) q),
v as materialized (
  select d.*, not d.retry and d.dead_letter_enabled as dead_lettered,
      case when d.retry then c.now + d.delay_ms * interval '1 millisecond' end as due_at
    from (select p.*, p.retryable and p.attempt < p.max_attempts and not p.failure_code = any(p.non_retryable_codes) as retry,
              coalesce(p.retry_after_ms::float8, ${retryDelayMs}) as delay_ms from p) d cross join c),
a as (
  insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at,
      started_seq, started_at, ended_seq, ended_at, ended_type, failure, due_at, dead_lettered)
  select ${shard}, job, fence, attempt, false, life, token, settlement, worker, claimed_seq, claimed_at, started_seq, started_at,
      seq + 1, c.now, case when retry then ${EVENT_CODES.retry_scheduled} else ${EVENT_CODES.failed} end, failure, due_at, dead_lettered
    from v cross join c),
w as (
  insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed)
  select ${shard}, job, due_at, 2, queue_id, rank, attempt, fence, life, seq + 1, releases, size, checkpointed from v where retry),
t as (
  insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at, failure)
  select ${shard}, job, life, seq + 1, ${EVENT_CODES.failed}, attempt, fence, c.now, failure from v cross join c where not retry),
dead as (
  insert into stint.dead_letter (shard, queue_id, job, life, at)
  select ${shard}, queue_id, job, life, c.now from v cross join c where dead_lettered),
e as (
  insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details)
  select ${shard}, c.epoch, c.now, array_agg(case when retry then ${EVENT_CODES.retry_scheduled} else ${EVENT_CODES.failed} end),
      array_agg(job), array_agg(seq + 1), array_agg(queue_id), array_agg(life), array_agg(attempt), array_agg(fence), array_agg(worker),
      array_agg(case when retry
        then jsonb_build_object('f', failure, 'r', (extract(epoch from due_at) * 1000000)::bigint, 'n', attempt + 1)
        else jsonb_build_object('f', failure, 'd', dead_lettered) end::text)
    from v cross join c group by c.epoch, c.now)`;
