import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { UpkeepRound } from '../../engine/ports/upkeep.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { counted } from '../gates.ts';
import { moves } from '../moves.ts';
import { positioned } from '../positions.ts';
import { parseRound } from '../upkeep-round.ts';
import { isTouched, touchedSlots } from '../slots.ts';
import { param, shard, statement } from '../statement.ts';
import { DEFERRED, intoReady } from '../tokens.ts';

const moved = sql`select queue_id, was, becomes from z`;

/**
 * Due jobs become READY, in due order, each with a position of its own drawn in that order. Uses the index
 * `deferred_due`. Skips what another replica promotes at this moment.
 */
const promoteDueStatement = statement<'now' | 'limit'>(
  'promote-due',
  sql`with ${clock},
  due as (
    delete from stint.deferred where shard = ${shard} and ctid = any(array(
      select ctid from stint.deferred d where d.shard = ${shard} and d.due_at <= (select now from c)
       order by d.due_at, d.job limit ${param('limit')}::int for update skip locked)) returning *),
  y as materialized (
    select row_number() over ()::int as place, nextval('stint.job_ord') as drawn, o.job, o.queue_id, o.rank, o.attempt, o.fence, o.life, o.seq + 1 as seq, o.releases, o.size, o.checkpointed, o.start_ms,
        o.run_ms, o.life_until, o.fair_key, o.lock_key, o.holds, '{}'::jsonb as told, o.kind = ${DEFERRED.scheduledExternal} as external,
        case o.kind when ${DEFERRED.retryWait} then 'RETRY_WAIT' else 'SCHEDULED' end as was
      from (select * from due order by due_at, job offset 0) o),
  ${positioned},
  ${intoReady(sql`z`)},
  h as (
    insert into stint.job_event (shard, job, seq, type, at, life, attempt, fence, rank, ord, detail)
    select ${shard}, job, seq, ${EVENT_CODES.ready}, c.now, life, attempt, fence, rank, ord, detail from z cross join c),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, details, moves)
    select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.ready} order by ord), array_agg(job order by ord),
        array_agg(seq order by ord), array_agg(queue_id order by ord), array_agg(life order by ord),
        array_agg(attempt order by ord), array_agg(fence order by ord),
        case when bool_or(detail is not null) then array_agg(detail order by ord) end, ${moves(moved)}
      from z cross join c group by c.epoch, c.now),
  ${counted(moved)},
  ${touchedSlots(sql`select queue_id, lock_key, 0 as held, 0 as ready from z`)}
  select c.now, ${isTouched} as touched, (select count(*)::int from z) as count,
      (select d.due_at from stint.deferred d where d.shard = ${shard} and d.due_at > c.now order by d.due_at limit 1) as next_due_at,
      (select coalesce(jsonb_agg(distinct jsonb_build_array(q.namespace, q.name)), '[]') from z
        cross join lateral (select namespace, name from stint.queue where shard = ${shard} and id = z.queue_id offset 0) q) as ready_queues
    from c`,
);

export async function promoteDue(run: Run, now: string | null, limit: number): Promise<UpkeepRound> {
  return parseRound(await run(promoteDueStatement, { now, limit }), limit);
}
