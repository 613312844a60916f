/**
 * The row that moves, wherever it lies: what it carries from table to table, and where a job that waits is found, locked and
 * taken away.
 */
import { sql, type SQL } from 'drizzle-orm';
import { position } from './jobs/position.ts';
import { sortedByRecord } from './sorted-queues.ts';
import { shard } from './statement.ts';

/** What every token carries on unchanged; the same names in each table. */
export const carried = sql`size, checkpointed, start_ms, run_ms, life_until, lock_key, fair_key`;

/** When a token that becomes READY at `c.now` times out. */
export const giveUpAt = sql`least(life_until, c.now + start_ms * interval '1 millisecond')`;

/** A READY token `r` that may be claimed: a timed-out one is not given, though the sweep has not come by yet. Needs the clock `c`. */
export const inTime = sql`(r.give_up_at is null or r.give_up_at > (select now from c))`;

/** Kinds of `deferred`. */
export const DEFERRED = { scheduled: 1, retryWait: 2, scheduledExternal: 3 } as const;

/** Kinds of `parked`. */
export const PARKED = { suspended: 1, external: 2, blocked: 3 } as const;

/** The state of a deferred token `d`, and of a parked one `k`. */
export const deferredState = sql`case d.kind when ${DEFERRED.retryWait} then 'RETRY_WAIT' else 'SCHEDULED' end`;
export const parkedState = sql`case k.kind when ${PARKED.suspended} then 'SUSPENDED' when ${PARKED.blocked} then 'BLOCKED' else 'READY' end`;

const same = (alias: SQL) => sql`${alias}.job, ${alias}.queue_id, ${alias}.rank, ${alias}.attempt, ${alias}.fence, ${alias}.life,
  ${alias}.seq, ${alias}.releases, ${alias}.size, ${alias}.checkpointed, ${alias}.start_ms, ${alias}.run_ms, ${alias}.life_until,
  ${alias}.lock_key, ${alias}.fair_key`;

/**
 * A waiting token, alike from whatever table. `tid` only of one in `ready` (rows of that table are never updated, so a ctid
 * is safe), `ord` of that and of a BLOCKED one, `due_at` only of a deferred one. `holds` tells that it has a slot of its key.
 */
export const readyToken = sql`r.ctid as tid, 'READY' as state, false as external, null::timestamptz as due_at, r.ord, r.give_up_at,
  r.lock_key is not null as holds, ${same(sql`r`)}`;
export const deferredToken = sql`null::tid as tid, ${deferredState} as state, d.kind = ${DEFERRED.scheduledExternal} as external, d.due_at,
  null::bigint as ord, d.life_until as give_up_at, d.holds, ${same(sql`d`)}`;
export const parkedToken = sql`null::tid as tid, ${parkedState} as state, k.kind = ${PARKED.external} as external, null::timestamptz as due_at,
  k.ord, k.life_until as give_up_at, k.holds, ${same(sql`k`)}`;

/** Conditions on the tokens of each table; a table that is not named is not looked into. */
export interface Places {
  readonly ready?: SQL;
  readonly deferred?: SQL;
  readonly parked?: SQL;
}

export const EVERYWHERE: Places = { ready: sql`true`, deferred: sql`true`, parked: sql`true` };

/** Whether the tokens looked for still wait in time by the clock `c`, or have timed out: nobody but a sweep may touch those. */
type Timing = 'in_time' | 'overdue';

const timed = (bound: SQL, timing: Timing) =>
  timing === 'overdue' ? sql`${bound} <= (select now from c)` : sql`(${bound} is null or ${bound} > (select now from c))`;

/**
 * CTEs over the input `i` (`n`, `namespace` and `job`, sorted by job): `w` has the token of each job that waits, locked; `n` names the
 * item. A job that is not among them is elsewhere, has timed out, or moved while the statement looked: look again.
 */
export function waiting(places: Places, timing: Timing = 'in_time'): SQL {
  const found = [
    ...(places.ready === undefined
      ? []
      : [{ name: sql`wr`, query: readyPlace(sql`${timed(sql`r.give_up_at`, timing)} and ${places.ready}`) }]),
    ...(places.deferred === undefined
      ? []
      : [{ name: sql`wd`, query: deferredPlace(sql`${timed(sql`d.life_until`, timing)} and ${places.deferred}`) }]),
    ...(places.parked === undefined
      ? []
      : [{ name: sql`wk`, query: parkedPlace(sql`${timed(sql`k.life_until`, timing)} and ${places.parked}`) }]),
  ];
  const each = found.map(
    ({ name, query }) => sql`${name} as materialized (select h.n, t.* from here h cross join lateral (${query} for update) t)`,
  );
  const all = found.map(({ name }) => sql`select * from ${name}`);
  return sql`here as materialized (
    select i.n, i.job, j.queue_id, p.rank, p.ord from i
      cross join lateral (select * from stint.job where shard = ${shard} and id = i.job and namespace = i.namespace offset 0) j ${position}),
    ${sql.join(each, sql`, `)},
    w as materialized (${sql.join(all, sql` union all `)})`;
}

/** A READY job is found by its position: that table has no index on the job. */
const readyPlace = (condition: SQL) => sql`select ${readyToken} from stint.ready r
  where r.shard = ${shard} and r.queue_id = h.queue_id and r.rank = h.rank and r.ord = h.ord and r.job = h.job and ${condition}`;
const deferredPlace = (condition: SQL) =>
  sql`select ${deferredToken} from stint.deferred d where d.shard = ${shard} and d.job = h.job and ${condition}`;
const parkedPlace = (condition: SQL) =>
  sql`select ${parkedToken} from stint.parked k where k.shard = ${shard} and k.job = h.job and ${condition}`;

/** CTEs that take the tokens of `w` away. */
export const takeWaiting = sql`gone_ready as (
  delete from stint.ready where shard = ${shard} and ctid = any(array(select tid from w where tid is not null)) returning job),
gone_deferred as (
  delete from stint.deferred where shard = ${shard} and job = any(array(select job from w where tid is null)) returning job),
gone_parked as (
  delete from stint.parked where shard = ${shard} and job = any(array(select job from w where tid is null)) returning job)`;

/**
 * The jobs that `takeWaiting` took. A statement that may put a token back where it lay joins this: it is only by reading what was
 * deleted that the insert comes after it, and does not meet the same key.
 */
export const taken = sql`(select job from gone_ready union all select job from gone_deferred union all select job from gone_parked)`;

/** Whether a job that could be READY has to be let in by its key first, by the columns of its token: also one that has a slot. */
const comesBlocked = sql`(lock_key is not null and not external)`;

/** The state of a job that could be READY. */
export const readyOrBlocked = sql`case when ${comesBlocked} then 'BLOCKED' else 'READY' end`;

/** Detail (jsonb) of its event: `b` where it is BLOCKED. */
export const blockedDetail = sql`case when ${comesBlocked} then '{"b":true}'::jsonb else '{}'::jsonb end`;

/**
 * CTEs that make the jobs of `source` READY, each at the position `ord` it brings: into the backlog, or parked where nobody
 * claims them, or BLOCKED where their key lets them in. `source` has the columns of a token, with the sequence of the event
 * that made it READY, and `drawn`: the value of `job_ord` that it drew in this transaction, which had its id before that. What stands there
 * is in order; any other position is not (floors.ts). `type` is that of its job `x`.
 */
export const intoReady = (source: SQL, type: SQL = sortedByRecord): SQL => sql`in_ready as (
  insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried}, give_up_at, out_of_order, type)
  select ${shard}, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried}, ${giveUpAt},
      ord is distinct from drawn, ${type} from ${source} x cross join c
   where not external and not ${comesBlocked}),
in_parked as (
  insert into stint.parked (shard, job, kind, queue_id, rank, ord, attempt, fence, life, seq, releases, ${carried}, holds)
  select ${shard}, job, case when external then ${PARKED.external} else ${PARKED.blocked} end, queue_id, rank, case when not external then ord end,
      attempt, fence, life, seq, releases, ${carried}, holds
    from ${source} where external or ${comesBlocked})`;
