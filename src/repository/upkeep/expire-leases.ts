import { sql, type SQL } from 'drizzle-orm';
import { DISPOSITION_CODES } from '../../domain/job.ts';
import { EVENT_CODES } from '../../domain/event.ts';
import { LEASE_EXPIRED, SCHEDULE_TO_CLOSE, START_TO_CLOSE } from '../../domain/lease.ts';
import type { EndedLeases, LeaseRound } from '../../engine/ports/upkeep.ts';
import { plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { endedTry, freedByEndedTry, movedByEndedTry } from '../ended-try.ts';
import { counted } from '../gates.ts';
import { deleteHeld, leaseEndKeptUntil, leaseEndWithSession, leasesWithSessions } from '../held-leases.ts';
import { failureJson, int, type Row } from '../row.ts';
import { parseRound } from '../upkeep-round.ts';
import { isTouched, touchedSlots } from '../slots.ts';
import { param, shard, statement } from '../statement.ts';

/** The cause is what came first: the instant at which the lease ended is that of the cause. */
const failureOf = sql`case l.ended_at
  when l.life_until then ${param('closeFailure')}::text::jsonb
  when l.run_until then ${param('runFailure')}::text::jsonb
  when l.cancel_deadline then null
  else ${param('expiryFailure')}::text::jsonb end`;

/** Lost for good: asked to be abandoned in this life, or owner-bound and started once. */
const isAbandoned = sql`exists (
    select 1 from stint.job_event e where e.shard = ${shard} and e.job = l.job and e.life = l.life and e.type = ${EVENT_CODES.abandon_requested})
  or (l.started_at is not null or exists (
      select 1 from stint.attempt b where b.shard = ${shard} and b.job = l.job and b.life = l.life and b.started_at is not null))
    and exists (select 1 from stint.job o where o.shard = ${shard} and o.id = l.job and o.disposition = ${DISPOSITION_CODES.OWNER_BOUND})`;

/**
 * CTEs `f`, the leases that have ended by what this statement sees, and `lapsed`, their sessions, locked: one that is being renewed just
 * now is skipped, one that was renewed meanwhile has not lapsed, and whoever would renew one of these waits, and then finds it lapsed.
 */
const found = (candidates: SQL) => sql`f as materialized (
    select l.job, l.session, s.id as keeper, s.until as kept_until from c cross join ${leasesWithSessions}
     where l.shard = ${shard} and ${leaseEndWithSession} <= c.now and ${candidates}),
  lapsed as materialized (
    select s.id from stint.session s
     where s.shard = ${shard} and s.id = any(array(select distinct keeper from f where keeper is not null)) and s.until <= (select now from c)
     order by s.id for update skip locked)`;

/** When a lease `l` of those in `f` ended. */
const ended = leaseEndKeptUntil(sql`f.kept_until`);

/**
 * Whether a lease `l` of those in `f` ends for good: past the bounds that no session moves, or kept by none: it has none, as one that was
 * forgotten is none, or its session has lapsed and cannot be renewed. One that went to another session meanwhile is looked at again.
 */
const isOver = sql`l.session is not distinct from f.session and (
  least(l.cancel_deadline, l.run_until, l.life_until) <= c.now or f.keeper is null or f.keeper = any(array(select id from lapsed)))`;

/**
 * Leases that have ended end their try: as a retryable failure where nobody renewed them (a worker that dies spends its attempt) or the
 * try timed out, for good where the life did; CANCELLED once that was asked for; ABANDONED where the job must not run again.
 */
const expireText = (candidates: SQL, nextDueAt: SQL) => sql`with ${clock}, ${found(candidates)},
  m as materialized (
    select l.*, f.failure, f.failure ->> 'code' as failure_code, l.life_until is distinct from l.ended_at as retryable,
        null::bigint as retry_after_ms, null::timestamptz as throttle_until, (${param('jitterFactors')}::float8[])[(row_number() over ())::int] as jitter_factor, null::text as settlement,
        case when l.cancel_deadline is not null then ${EVENT_CODES.cancelled}
          when l.life_until is distinct from l.ended_at and (${isAbandoned}) then ${EVENT_CODES.abandoned} end as fate
      from c cross join lateral (
        select l.* from f cross join lateral (
          select l.*, ${ended} as ended_at from stint.lease l
           where l.shard = ${shard} and l.job = f.job and ${ended} <= c.now and ${isOver}
           for update skip locked) l
         limit ${param('limit')}::int) l
      cross join lateral (select ${failureOf} as failure) f),
  ${deleteHeld},
  ${endedTry(sql`m`)},
  ${counted(movedByEndedTry)},
  ${touchedSlots(freedByEndedTry)}
  select c.now, '[]'::jsonb as ready_queues, ${isTouched} as touched, n.*,
      ${nextDueAt} as next_due_at
    from c cross join (
      select count(*)::int as count, count(*) filter (where ended_type = ${EVENT_CODES.cancelled})::int as cancelled,
             count(*) filter (where ended_type = ${EVENT_CODES.abandoned})::int as abandoned,
             count(*) filter (where fate is null and ended_at in (run_until, life_until))::int as timed_out,
             count(*) filter (where ended_type = ${EVENT_CODES.retry_scheduled})::int as retried, count(*) filter (where dead_lettered)::int as dead_lettered
        from v) n`;

type ExpireParam = 'now' | 'limit' | 'jitterFactors' | 'expiryFailure' | 'runFailure' | 'closeFailure';

/** Reads the whole of `lease`: an index on its end would cost every heartbeat its HOT update, and in-flight rows are few. */
const expireLeasesStatement = statement<ExpireParam>(
  'expire-leases',
  expireText(
    sql`true`,
    sql`(select min(${leaseEndWithSession}) from ${leasesWithSessions} where l.shard = ${shard} and ${leaseEndWithSession} > c.now)`,
  ),
);

/** By primary key. */
const expireTheseStatement = statement<ExpireParam | 'jobs'>(
  'expire-these',
  expireText(sql`l.job = any(${param('jobs')}::uuid[])`, sql`null::timestamptz`),
);

const FAILURES = {
  expiryFailure: JSON.stringify(failureJson(LEASE_EXPIRED)),
  runFailure: JSON.stringify(failureJson(START_TO_CLOSE)),
  closeFailure: JSON.stringify(failureJson(SCHEDULE_TO_CLOSE)),
};

export async function expireLeases(run: Run, now: string | null, limit: number, jitterFactor: () => number): Promise<LeaseRound> {
  // One for each: leases that lapse together must not come back together.
  const jitterFactors = plainArray(Array.from({ length: limit }, jitterFactor));
  const rows = await run(expireLeasesStatement, { now, limit, jitterFactors, ...FAILURES });
  return { ...parseRound(rows, limit), ...parseEndedLeases(rows) };
}

function parseEndedLeases([row]: readonly Row[]): EndedLeases {
  if (row === undefined) throw new Error('a round of upkeep answered nothing');
  return {
    count: int(row, 'count'),
    timedOut: int(row, 'timed_out'),
    cancelled: int(row, 'cancelled'),
    abandoned: int(row, 'abandoned'),
    retried: int(row, 'retried'),
    deadLettered: int(row, 'dead_lettered'),
  };
}

/** Ends those of these jobs' leases that have ended already, now. */
export async function expireThese(run: Run, now: string | null, jobs: readonly string[]): Promise<EndedLeases> {
  const jitterFactors = plainArray(jobs.map(() => 1));
  return parseEndedLeases(await run(expireTheseStatement, { now, limit: jobs.length, jitterFactors, jobs: plainArray(jobs), ...FAILURES }));
}
