import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { isTerminal } from '../../domain/job.ts';
import type { ChangeOutcome, UpdateItem } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import { updatedDetail } from '../detail.ts';
import { counted } from '../gates.ts';
import { moves } from '../moves.ts';
import { fairPositionAt, positions } from '../positions.ts';
import { instantLiteral, int } from '../row.ts';
import { sortedByRecord } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import { touchedSlots } from '../slots.ts';
import { carried, DEFERRED, EVERYWHERE, giveUpAt, PARKED, readyOrBlocked, taken, takeWaiting, waiting } from '../tokens.ts';
import { invalid, type Operation, type OperateParam, operateValues } from './operate.ts';

const moved = sql`select queue_id, before as was, state as becomes from z`;

/** READY jobs that are put off give up their slots; what has one otherwise keeps it. */
const movedSlots = sql`select queue_id, lock_key, t.away as held, t.away as ready
    from z cross join lateral (select case when before = 'READY' and state <> 'READY' then -1 else 0 end as away) t`;

/**
 * Update: priority and time of a job that waits. A READY job keeps its position, and its time-out; one that becomes READY takes a new
 * position, and so does one that comes to another priority where fairness keys count. A suspended job has no time.
 */
const updateStatement = statement<OperateParam | 'priorities' | 'setsRunAt' | 'runAts' | 'details'>(
  'update',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('priorities')}::bigint[],
        ${param('setsRunAt')}::boolean[], ${param('runAts')}::timestamptz[], ${param('details')}::text[])
        as i(n, namespace, job, priority, sets_run_at, run_at, detail)),
  ${waiting({ ...EVERYWHERE, parked: sql`(k.kind <> ${PARKED.suspended} or not (select i.sets_run_at from i where i.n = h.n))` })},
  ${takeWaiting},
  u as materialized (
    select w.n, w.job, w.queue_id, w.attempt, w.fence, w.life, w.seq + 1 as seq, w.releases, w.size, w.checkpointed, w.start_ms, w.run_ms,
        w.life_until, w.fair_key, w.lock_key, w.holds, w.external, w.state as before, w.ord as former_ord, w.rank as former_rank, w.give_up_at,
        coalesce(-i.priority, w.rank) as rank, i.detail,
        case when i.sets_run_at then i.run_at else w.due_at end as due_at,
        case when not i.sets_run_at then w.state when i.run_at > c.now then case when w.state in ('READY', 'BLOCKED') then 'SCHEDULED' else w.state end
          when w.state = 'READY' then 'READY' else ${readyOrBlocked} end as state
      from w cross join c cross join lateral (select * from i where i.n = w.n) i),
  y as materialized (
    select u.*, row_number() over ()::int as place,
        case when state in ('READY', 'BLOCKED') and not external and (former_ord is null or rank <> former_rank) then nextval('stint.job_ord') end as drawn
      from ${taken} t join u using (job)),
  draws as materialized (select place, queue_id, rank, fair_key, drawn from y),
  ${positions(sql`draws`)},
  z as materialized (
    select y.*, case when state in ('READY', 'BLOCKED') and not external then coalesce(${fairPositionAt(sql`y`)}, former_ord, drawn) end as ord from y),
  r as (
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried}, give_up_at, type)
    select ${shard}, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried},
        case when before = 'READY' then give_up_at else ${giveUpAt} end, ${sortedByRecord}
      from z x cross join c where state = 'READY' and not external),
  d as (
    insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, ${carried}, holds)
    select ${shard}, job, due_at, case when external then ${DEFERRED.scheduledExternal} when state = 'RETRY_WAIT' then ${DEFERRED.retryWait}
        else ${DEFERRED.scheduled} end, queue_id, rank, attempt, fence, life, seq, releases, ${carried},
        holds and before <> 'READY'
      from z where state in ('SCHEDULED', 'RETRY_WAIT')),
  k as (
    insert into stint.parked (shard, job, kind, queue_id, rank, ord, attempt, fence, life, seq, releases, ${carried}, holds)
    select ${shard}, job, case state when 'SUSPENDED' then ${PARKED.suspended} when 'BLOCKED' then ${PARKED.blocked} else ${PARKED.external} end,
        queue_id, rank, ord, attempt, fence, life, seq, releases, ${carried}, holds
      from z where state in ('SUSPENDED', 'BLOCKED') or (state = 'READY' and external)),
  told as materialized (select z.*, (z.detail::jsonb || jsonb_build_object('s', z.state))::text as said from z),
  h as (
    insert into stint.job_event (shard, job, seq, type, at, life, attempt, fence, rank, ord, detail)
    select ${shard}, job, seq, ${EVENT_CODES.updated}, c.now, life, attempt, fence, rank, ord, said from told cross join c),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, details, moves)
    select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.updated}), array_agg(job), array_agg(seq), array_agg(queue_id), array_agg(life),
        array_agg(attempt), array_agg(fence), array_agg(said), ${moves(moved)}
      from told cross join c group by c.epoch, c.now),
  ${counted(moved)},
  ${touchedSlots(movedSlots)}
  select n from z`,
);

export const updating: Operation<UpdateItem, ChangeOutcome> = {
  rpc: 'UpdateJob',
  apply: async (run, now, items) => {
    const changes = items.map(({ item }) => item.change);
    const rows = await run(updateStatement, {
      now,
      ...operateValues(items),
      priorities: plainArray(changes.map(({ priority }) => priority ?? null)),
      setsRunAt: plainArray(changes.map(({ runAt }) => runAt !== undefined)),
      runAts: plainArray(changes.map(({ runAt }) => (runAt === undefined || runAt === null ? null : instantLiteral(runAt)))),
      details: textArray(changes.map(updatedDetail)),
    });
    return { changed: new Set(rows.map((row) => int(row, 'n'))) };
  },
  conclude: (job, { change }, isDone) => {
    if (isDone) return 'CHANGED';
    const isHeld = job.state === 'LEASED' || job.state === 'RUNNING';
    const hasNoTime = job.state === 'SUSPENDED' && change.runAt !== undefined;
    return isHeld || isTerminal(job.state) || hasNoTime ? invalid(job, 'update') : null;
  },
};
