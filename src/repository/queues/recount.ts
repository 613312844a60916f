import { sql } from 'drizzle-orm';
import { param, shard } from '../statement.ts';
import { DEFERRED, PARKED } from '../tokens.ts';

/** The tokens of the queue `id`, counted one by one: `scheduled`, `blocked`, `ready`, `leased`, `running`, `retry_wait`, `suspended`. */
export const recountOf = (id = sql`${param('queueId')}::int`) => sql`
  select d.scheduled, k.blocked, r.ready + k.ready as ready, l.leased, l.running, d.retry_wait, k.suspended
    from (select count(*) as ready from stint.ready where shard = ${shard} and queue_id = ${id}) r
    cross join (
      select count(*) filter (where started_at is null) as leased, count(*) filter (where started_at is not null) as running
        from stint.lease where shard = ${shard} and queue_id = ${id}) l
    cross join (
      select count(*) filter (where kind <> ${DEFERRED.retryWait}) as scheduled, count(*) filter (where kind = ${DEFERRED.retryWait}) as retry_wait
        from stint.deferred where shard = ${shard} and queue_id = ${id}) d
    cross join (
      select count(*) filter (where kind = ${PARKED.external}) as ready, count(*) filter (where kind = ${PARKED.suspended}) as suspended,
             count(*) filter (where kind = ${PARKED.blocked}) as blocked
        from stint.parked where shard = ${shard} and queue_id = ${id}) k`;
