import { sql, type SQL } from 'drizzle-orm';
import { shard } from '../statement.ts';

/**
 * CTEs that tell how the jobs of `z` became READY: the event, with the position it gave, and the journal. `z.seq` is the event's, `moved`
 * the value of `journal.moves`.
 */
export const madeReady = (type: number, moved: SQL): SQL => sql`h as (
  insert into stint.job_event (shard, job, seq, type, at, life, attempt, fence, rank, ord, detail)
  select ${shard}, job, seq, ${type}, c.now, life, attempt, fence, rank, ord, detail from z cross join c),
e as (
  insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(${type} order by ord), array_agg(job order by ord), array_agg(seq order by ord),
      array_agg(queue_id order by ord), array_agg(life order by ord), array_agg(attempt order by ord), array_agg(fence order by ord),
      array_agg(detail order by ord), ${moved}
    from z cross join c group by c.epoch, c.now)`;
