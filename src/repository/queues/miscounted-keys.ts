import { sql } from 'drizzle-orm';
import type { InvariantPage } from '../../engine/ports/repository.ts';
import type { Run } from '../database.ts';
import { bool, int, text, textOrNull } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { PARKED } from '../tokens.ts';

/** Queues whose keys one call counts. */
const QUEUES_PER_CALL = 10;
/** Keys of one queue that one call tells of. */
const KEYS_PER_QUEUE = 100;

/**
 * The next queues that have keys, and of each the keys whose slots are counted otherwise than the tokens hold them, or whose BLOCKED jobs
 * nobody would look at though there is a slot for them: one snapshot for all.
 */
const miscountedKeysStatement = statement<'namespace' | 'after'>(
  'miscounted-keys',
  sql`select q.id, q.name, q.namespace = ${param('namespace')}::text as ours, m.key, m.detail
    from (
      select distinct queue_id as id from (
        select queue_id from stint.slot where shard = ${shard} and queue_id > ${param('after')}::int
        union all select queue_id from stint.ready where shard = ${shard} and queue_id > ${param('after')}::int and lock_key is not null
        union all select queue_id from stint.lease where shard = ${shard} and queue_id > ${param('after')}::int and lock_key is not null
        union all select queue_id from stint.parked where shard = ${shard} and queue_id > ${param('after')}::int and lock_key is not null) t
       order by id limit ${QUEUES_PER_CALL}) w
    cross join lateral (select * from stint.queue where shard = ${shard} and id = w.id offset 0) q
    left join lateral (
      select coalesce(s.key, n.key) as key, jsonb_build_object('counted', to_jsonb(s) - 'shard' - 'queue_id', 'there', to_jsonb(n))::text as detail
        from (select * from stint.slot where shard = ${shard} and queue_id = w.id) s
        full join (
          select t.key, count(*) filter (where t.holds)::int as held, count(*) filter (where t.is_ready)::int as ready,
              count(*) filter (where t.is_blocked)::int as blocked
            from (
              select lock_key as key, true as holds, true as is_ready, false as is_blocked from stint.ready
               where shard = ${shard} and queue_id = w.id and lock_key is not null
              union all select lock_key, true, false, false from stint.lease where shard = ${shard} and queue_id = w.id and lock_key is not null
              union all select lock_key, holds, false, false from stint.deferred where shard = ${shard} and queue_id = w.id and lock_key is not null
              union all select lock_key, holds, false, kind = ${PARKED.blocked} from stint.parked
               where shard = ${shard} and queue_id = w.id and lock_key is not null) t
           where t.holds or t.is_blocked group by t.key) n on n.key = s.key
       where (coalesce(s.held, 0), coalesce(s.ready, 0)) is distinct from (coalesce(n.held, 0), coalesce(n.ready, 0))
          or coalesce(n.blocked, 0) > 0 and (s.key is null or s.wake_at is null and s.held < q.concurrency_per_key)
       limit ${KEYS_PER_QUEUE}) m on true
   order by q.id`,
);

/** `next` is the queue to go on after, or null. */
export async function miscountedKeys(run: Run, namespace: string, after: string): Promise<InvariantPage> {
  const rows = await run(miscountedKeysStatement, { namespace, after });
  const queues = [...new Set(rows.map((row) => int(row, 'id')))];
  return {
    violations: rows
      .filter((row) => bool(row, 'ours') && textOrNull(row, 'detail') !== null)
      .map((row) => ({
        invariant: 'I11',
        jobId: null,
        detail: `the slots of key ${textOrNull(row, 'key') ?? ''} of queue ${text(row, 'name')} are wrong: ${text(row, 'detail')}`,
      })),
    next: queues.length < QUEUES_PER_CALL ? null : String(queues.at(-1)),
  };
}
