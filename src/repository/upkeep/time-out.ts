import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { SCHEDULE_TO_CLOSE, SCHEDULE_TO_START } from '../../domain/lease.ts';
import type { EndedWaiting, WaitingRound } from '../../engine/ports/upkeep.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { endedWaiting } from '../ended-waiting.ts';
import { failureJson, int, type Row } from '../row.ts';
import { parseRound } from '../upkeep-round.ts';
import { isTouched } from '../slots.ts';
import { param, shard, statement } from '../statement.ts';
import { deferredToken, EVERYWHERE, parkedToken, readyToken, takeWaiting, waiting } from '../tokens.ts';

/** CTE `z`: the tokens of `w`, each with the timeout that ends its life; the earlier one is the cause. */
const timedOut = sql`z as materialized (
    select w.*, ${EVENT_CODES.failed} as ended_type, f.failure, jsonb_build_object('f', f.failure) as detail, null::bytea as result,
        null::text as result_content_type
      from w cross join lateral (
        select case when w.give_up_at = w.life_until then ${param('closeFailure')}::text::jsonb else ${param('startFailure')}::text::jsonb end as failure) f)`;

/**
 * Jobs that wait past their schedule_to_start or schedule_to_close are FAILED. Uses the partial indexes `…_give_up`, in which only
 * jobs with such a timeout stand. Skips what another replica has locked.
 */
const timeOutStatement = statement<'now' | 'limit' | 'startFailure' | 'closeFailure'>(
  'time-out',
  sql`with ${clock},
  wr as materialized (
    select ${readyToken} from stint.ready r where r.shard = ${shard} and r.give_up_at is not null and r.give_up_at <= (select now from c)
     order by r.give_up_at limit ${param('limit')}::int for update skip locked),
  wd as materialized (
    select ${deferredToken} from stint.deferred d where d.shard = ${shard} and d.life_until is not null and d.life_until <= (select now from c)
     order by d.life_until limit ${param('limit')}::int for update skip locked),
  wk as materialized (
    select ${parkedToken} from stint.parked k where k.shard = ${shard} and k.life_until is not null and k.life_until <= (select now from c)
     order by k.life_until limit ${param('limit')}::int for update skip locked),
  w as materialized (select * from wr union all select * from wd union all select * from wk),
  ${takeWaiting},
  ${timedOut},
  ${endedWaiting}
  select c.now, (select count(*)::int from z) as count, (select count(*)::int from v where dead_lettered) as dead_lettered, '[]'::jsonb as ready_queues, ${isTouched} as touched, least(
      (select r.give_up_at from stint.ready r where r.shard = ${shard} and r.give_up_at is not null and r.give_up_at > c.now
        order by r.give_up_at limit 1),
      (select d.life_until from stint.deferred d where d.shard = ${shard} and d.life_until is not null and d.life_until > c.now
        order by d.life_until limit 1),
      (select k.life_until from stint.parked k where k.shard = ${shard} and k.life_until is not null and k.life_until > c.now
        order by k.life_until limit 1)) as next_due_at
    from c`,
);

/** The same for those of these jobs that have timed out already, wherever they wait. Found by key. */
const timeOutTheseStatement = statement<'now' | 'n' | 'namespaces' | 'jobs' | 'startFailure' | 'closeFailure'>(
  'time-out-these',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[]) as i(n, namespace, job)),
  ${waiting(EVERYWHERE, 'overdue')},
  ${takeWaiting},
  ${timedOut},
  ${endedWaiting}
  select (select count(*)::int from z) as count, (select count(*)::int from v where dead_lettered) as dead_lettered`,
);

const FAILURES = {
  startFailure: JSON.stringify(failureJson(SCHEDULE_TO_START)),
  closeFailure: JSON.stringify(failureJson(SCHEDULE_TO_CLOSE)),
};

export async function timeOut(run: Run, now: string | null, limit: number): Promise<WaitingRound> {
  const rows = await run(timeOutStatement, { now, limit, ...FAILURES });
  return { ...parseRound(rows, limit), ...parseEndedWaiting(rows) };
}

function parseEndedWaiting([row]: readonly Row[]): EndedWaiting {
  if (row === undefined) throw new Error('a round of upkeep answered nothing');
  return { count: int(row, 'count'), deadLettered: int(row, 'dead_lettered') };
}

/** `jobs` are array literals, sorted by job. */
export async function timeOutThese(
  run: Run,
  now: string | null,
  jobs: Readonly<Record<'n' | 'namespaces' | 'jobs', string>>,
): Promise<EndedWaiting> {
  return parseEndedWaiting(await run(timeOutTheseStatement, { now, ...jobs, ...FAILURES }));
}
