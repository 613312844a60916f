/** What follows when the life of a job ends that nobody holds: by a cancellation, a timeout, or its external owner. */
import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../domain/event.ts';
import { deadLetters, movedByCopies } from './dead-letters.ts';
import { counted } from './gates.ts';
import { moves } from './moves.ts';
import { touchedSlots } from './slots.ts';
import { shard } from './statement.ts';

const moved = sql`select queue_id, state as was, null as becomes, dead_lettered from v`;

/**
 * CTEs over `z`: the tokens that were taken, each with `ended_type`, `detail` (jsonb, without `d`), `failure` (jsonb), `result` and
 * `result_content_type`. `v` adds what becomes of a FAILED one.
 */
export const endedWaiting = sql`v as materialized (
  select y.*, case when y.ended_type = ${EVENT_CODES.failed} then y.detail || jsonb_build_object('d', y.dead_lettered) else y.detail end as told
    from (select z.*, q.dead_letter_payload_bytes, q.dead_letter_queue_id,
              z.ended_type = ${EVENT_CODES.failed} and q.dead_letter_enabled as dead_lettered
            from z cross join lateral (select * from stint.queue where shard = ${shard} and id = z.queue_id offset 0) q) y),
t as (
  insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at, result, result_content_type, failure, detail)
  select ${shard}, job, life, seq + 1, ended_type, attempt, fence, c.now, result, result_content_type, failure, told::text from v cross join c),
${deadLetters(sql`v`)},
e as (
  insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(ended_type), array_agg(job), array_agg(seq + 1), array_agg(queue_id), array_agg(life),
      array_agg(attempt), array_agg(fence), array_agg(told::text), ${moves(moved, { dead: sql`t.dead_lettered::int` })}
    from v cross join c group by c.epoch, c.now),
${counted(sql`select queue_id, was, becomes from (${moved}) e union all ${movedByCopies}`)},
${touchedSlots(sql`select queue_id, lock_key, -1 as held, case when state = 'READY' then -1 else 0 end as ready from v where holds`)}`;
