/** What a life leaves that ends FAILED: its dead letter, and a copy of the job where the queue asks for one; in the commit that ends it. */
import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../domain/event.ts';
import { moves } from './moves.ts';
import { positionAt, positions } from './positions.ts';
import { sortedBy } from './sorted-queues.ts';
import { shard } from './statement.ts';

/** How the tokens of the copies came into being: for `counted`. They are taken whatever the bounds of their queue. */
export const movedByCopies = sql`select to_queue as queue_id, null as was, 'READY' as becomes from copied`;

/**
 * CTEs over `source` (`job`, `life`, `queue_id`, `dead_lettered`, `dead_letter_payload_bytes`, `dead_letter_queue_id`). A copy is an
 * ordinary job of life 1: with the input, type, priority, fairness key, labels and headers of its original, and a header that names it. No queue
 * copies to itself: what fails there would come back for ever.
 */
export const deadLetters = (source: SQL): SQL => sql`dead as (
  insert into stint.dead_letter (shard, namespace, queue_id, job, life, at, payload_bytes)
  select ${shard}, (select q.namespace from stint.queue q where q.shard = ${shard} and q.id = queue_id), queue_id, job, life, c.now,
      dead_letter_payload_bytes
    from ${source} cross join c where dead_lettered),
copies as materialized (
  select row_number() over ()::int as place, nextval('stint.job_ord') as drawn, stint.mint_job_id(c.now) as id, d.dead_letter_queue_id as to_queue,
      d.dead_letter_queue_id as queue_id, j.*, d.size as bytes
    from (select * from ${source} where dead_lettered and dead_letter_queue_id <> queue_id) d cross join c
    cross join lateral (
      select id as original, namespace, type, rank, digest, content_type, labels, payload, fairness_key as fair_key,
             headers || jsonb_build_object('stint-dead-letter-of', id::text) as headers
        from stint.job where shard = ${shard} and id = d.job offset 0) j),
${positions(sql`copies`, sql`select queue_id from ${source} union select queue_id from copies`)},
copied as materialized (select x.*, ${positionAt(sql`x`)} as ord from copies x),
copied_jobs as (
  insert into stint.job (shard, id, namespace, queue_id, type, rank, ord, created_at, digest, content_type, headers, labels, payload,
      fairness_key)
  select ${shard}, id, namespace, to_queue, type, rank, ord, c.now, digest, content_type, headers, labels, payload, fair_key from copied cross join c),
copied_ready as (
  insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, fair_key, out_of_order, type)
  select ${shard}, to_queue, rank, ord, id, 0, 0, 1, 1, 0, bytes, false, fair_key, ord is distinct from drawn,
      ${sortedBy(sql`x.type`, sql`x.to_queue`)} from copied x),
copied_journal as (
  insert into stint.journal (shard, epoch, at, types, jobs, queue_ids, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.enqueued} order by ord), array_agg(id order by ord), array_agg(to_queue order by ord),
      array_agg(jsonb_strip_nulls(jsonb_build_object('t', nullif(type, ''), 'p', nullif(-rank, 0)))::text order by ord), ${moves(movedByCopies)}
    from copied cross join c group by c.epoch, c.now)`;
