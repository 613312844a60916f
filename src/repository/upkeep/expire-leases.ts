import { sql, type SQL } from 'drizzle-orm';
import { DISPOSITION_CODES } from '../../domain/job.ts';
import { EVENT_CODES } from '../../domain/event.ts';
import { LEASE_EXPIRED, SCHEDULE_TO_CLOSE, START_TO_CLOSE } from '../../domain/lease.ts';
import type { LeaseRound } from '../../engine/ports/upkeep.ts';
import { plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { endedTry, freedByEndedTry, movedByEndedTry } from '../ended-try.ts';
import { counted } from '../gates.ts';
import { deleteHeld, leaseEnd } from '../held-leases.ts';
import { failureJson, int } from '../row.ts';
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
 * Leases that have ended end their try: as a retryable failure where nobody renewed them (a worker that dies spends its attempt) or the
 * try timed out, for good where the life did; CANCELLED once that was asked for; ABANDONED where the job must not run again.
 */
const expireText = (candidates: SQL, nextDueAt: SQL) => sql`with ${clock},
  m as materialized (
    select l.*, f.failure, f.failure ->> 'code' as failure_code, l.life_until is distinct from l.ended_at as retryable,
        null::bigint as retry_after_ms, null::timestamptz as throttle_until, (${param('jitterFactors')}::float8[])[(row_number() over ())::int] as jitter_factor, null::text as settlement,
        case when l.cancel_deadline is not null then ${EVENT_CODES.cancelled}
          when l.life_until is distinct from l.ended_at and (${isAbandoned}) then ${EVENT_CODES.abandoned} end as fate
      from c cross join lateral (
        select l.*, ${leaseEnd} as ended_at from stint.lease l
         where l.shard = ${shard} and ${leaseEnd} <= c.now and ${candidates}
         limit ${param('limit')}::int for update skip locked) l
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
             count(*) filter (where fate is null and ended_at in (run_until, life_until))::int as timed_out
        from v) n`;

type ExpireParam = 'now' | 'limit' | 'jitterFactors' | 'expiryFailure' | 'runFailure' | 'closeFailure';

/** Reads the whole of `lease`: an index on its end would cost every heartbeat its HOT update, and in-flight rows are few. */
const expireLeasesStatement = statement<ExpireParam>(
  'expire-leases',
  expireText(sql`true`, sql`(select min(${leaseEnd}) from stint.lease l where l.shard = ${shard} and ${leaseEnd} > c.now)`),
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
  const [row] = rows;
  if (row === undefined) throw new Error('a round of upkeep answered nothing');
  return {
    ...parseRound(rows, limit),
    timedOut: int(row, 'timed_out'),
    cancelled: int(row, 'cancelled'),
    abandoned: int(row, 'abandoned'),
  };
}

/** Ends those of these jobs' leases that have ended already, now. */
export async function expireThese(run: Run, now: string | null, jobs: readonly string[]): Promise<void> {
  const jitterFactors = plainArray(jobs.map(() => 1));
  await run(expireTheseStatement, { now, limit: jobs.length, jitterFactors, jobs: plainArray(jobs), ...FAILURES });
}
