/**
 * Queues that bound what one worker holds. Nothing is counted ahead: their leases lie in an index by worker, and a claim, which holds the
 * gates of its queues, counts them by a snapshot that is taken after the locks. So the count misses nobody who claimed before, and
 * whoever ends a lease has nothing to do with it.
 */
import { sql, type SQL } from 'drizzle-orm';
import { param, shard, statement } from './statement.ts';

/**
 * CTE `held`: the queues among the locked gates `gl` that bound their workers, with what the worker of each slot holds. That the function
 * reads what the gates tell makes it run after they are locked.
 */
export const heldByWorkers = sql`held as materialized (
  select h.* from (select array_agg(gl.queue_id) as ids from gl where gl.max_per_worker is not null having count(*) > 0) g
   cross join lateral stint.held_by_workers(${shard}, g.ids, ${param('workers')}::text[]) h)`;

/**
 * CTEs over the queues `limited` of a claim. Where one bounds its workers the statement gives to one slot: `chosen` is the first whose
 * worker has room in a queue that has something, `offers` are those queues.
 */
export const chosenSlot = (oneJob: (queueId: SQL) => SQL): SQL => sql`offers as materialized (
    select l.queue_id, l.max_per_worker, l.held from limited l cross join lateral (${oneJob(sql`l.queue_id`)}) found
     where l.limiter is null and exists (select from held)),
  chosen as materialized (
    select s.slot from generate_series(1, cardinality(${param('workers')}::text[])) as s(slot)
     where exists (select from offers o where o.max_per_worker is null or o.held[s.slot] < o.max_per_worker)
     order by s.slot limit 1)`;

/** How many jobs the chosen slot wants; none where nobody was chosen. Null where no queue bounds its workers. */
export const wantedByChosen = sql`case when exists (select from held) then coalesce((${param('maxJobs')}::int[])[(select slot from chosen)], 0) end`;

/** How many more a queue `l` gives to the worker of the chosen slot; null: any number, or nobody was chosen. */
export const roomOfWorker = sql`l.max_per_worker - l.held[(select slot from chosen)]`;

/** Whether the worker's bound alone keeps a queue `l` from giving. */
export const isHeldByWorker = sql`l.max_per_worker <= coalesce(l.held[(select slot from chosen)], l.max_per_worker)
  and l.queue_id in (select queue_id from offers)`;

/** A lease of a queue `queueId` that bounds its workers is counted by its own. */
export const cappedIn = (queueId: SQL): SQL => sql`case when ${queueId} = any(array(select queue_id from held)) then true end`;

/** The leases that were given before the queue bounded its workers. Nobody else moves one of them meanwhile but by a heartbeat, in this order. */
export const capLeasesStatement = statement<'queueId'>(
  'cap-leases',
  sql`update stint.lease set capped = true where shard = ${shard} and job = any(array(
    select job from stint.lease l where l.shard = ${shard} and l.queue_id = ${param('queueId')}::int and l.capped is null order by l.job for update))`,
);

/** Leases of the queue of a gate that its bound on each worker would not count; there are none. */
export const uncappedOf = (gate: SQL): SQL => sql`select count(*) from stint.lease l
  where l.shard = ${shard} and l.queue_id = ${gate}.queue_id and l.capped is null and ${gate}.max_per_worker is not null`;
