import { sql } from 'drizzle-orm';
import type { InvariantPage } from '../../engine/ports/repository.ts';
import type { Run } from '../database.ts';
import { bool, text } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { ofEach, tailByQueue, unfolded } from '../tally.ts';
import { DEFERRED, PARKED } from '../tokens.ts';

/** Queues whose tokens one call counts: each table is read once for all of them. */
const QUEUES_PER_CALL = 1_000;

/** The tokens of table `x` that are of the page, by queue. */
const ofPage = sql`x.shard = ${shard} and x.queue_id = any(array(select id from page))`;

/** The next queues of the namespace by name, and where their numbers are others than a recount: one snapshot for both. */
const miscountedStatement = statement<'namespace' | 'after' | 'limit'>(
  'miscounted-queues',
  sql`with ${unfolded},
  page as materialized (
    select q.id, q.name from stint.queue q where q.shard = ${shard} and q.namespace = ${param('namespace')}::text and q.name > ${param('after')}::text
     order by q.name limit ${param('limit')}::int),
  u as materialized (
    select u.queue_id, ${ofEach((name, at) => sql`sum(u.moves[u.i][${at}]) as ${name}`)} from ${tailByQueue}
     where u.queue_id = any(array(select id from page)) group by u.queue_id),
  r as materialized (select x.queue_id, count(*) as ready from stint.ready x where ${ofPage} group by x.queue_id),
  l as materialized (
    select x.queue_id, count(*) filter (where x.started_at is null) as leased, count(*) filter (where x.started_at is not null) as running
      from stint.lease x where ${ofPage} group by x.queue_id),
  d as materialized (
    select x.queue_id, count(*) filter (where x.kind <> ${DEFERRED.retryWait}) as scheduled, count(*) filter (where x.kind = ${DEFERRED.retryWait}) as waiting
      from stint.deferred x where ${ofPage} group by x.queue_id),
  k as materialized (
    select x.queue_id, count(*) filter (where x.kind = ${PARKED.external}) as external, count(*) filter (where x.kind = ${PARKED.suspended}) as suspended,
        count(*) filter (where x.kind = ${PARKED.blocked}) as blocked
      from stint.parked x where ${ofPage} group by x.queue_id),
  dead as materialized (
    select x.queue_id, count(*) as dead_letters from stint.dead_letter x where ${ofPage} and x.replayed_at is null group by x.queue_id)
  select p.name, told.of is distinct from there.of as wrong, jsonb_build_object('told', told.of, 'there', there.of)::text as detail
    from page p
    cross join m
    left join stint.queue_tally y on y.shard = ${shard} and y.queue_id = p.id
    left join u on u.queue_id = p.id left join r on r.queue_id = p.id left join l on l.queue_id = p.id left join d on d.queue_id = p.id
    left join k on k.queue_id = p.id left join dead on dead.queue_id = p.id
    cross join lateral (
      select jsonb_build_object('scheduled', coalesce(y.scheduled, 0) + coalesce(u.scheduled, 0), 'blocked', coalesce(y.blocked, 0) + coalesce(u.blocked, 0),
        'ready', coalesce(y.ready, 0) + coalesce(u.ready, 0), 'leased', coalesce(y.leased, 0) + coalesce(u.leased, 0),
        'running', coalesce(y.running, 0) + coalesce(u.running, 0), 'retry_wait', coalesce(y.retry_wait, 0) + coalesce(u.retry_wait, 0),
        'suspended', coalesce(y.suspended, 0) + coalesce(u.suspended, 0),
        'dead_letters', coalesce(y.dead_letters, 0) + coalesce(u.dead_letters, 0)) as of) told
    cross join lateral (
      select jsonb_build_object('scheduled', coalesce(d.scheduled, 0), 'blocked', coalesce(k.blocked, 0), 'ready', coalesce(r.ready, 0) + coalesce(k.external, 0),
        'leased', coalesce(l.leased, 0), 'running', coalesce(l.running, 0), 'retry_wait', coalesce(d.waiting, 0),
        'suspended', coalesce(k.suspended, 0), 'dead_letters', coalesce(dead.dead_letters, 0)) as of) there
   order by p.name`,
);

/** One page; `nextAfter` is the name to go on after, null at the end. Where nothing was folded yet there is nothing to compare. */
export async function miscountedQueues(
  run: Run,
  namespace: string,
  after: string,
): Promise<Pick<InvariantPage, 'violations'> & { readonly nextAfter: string | null }> {
  const rows = await run(miscountedStatement, { namespace, after, limit: QUEUES_PER_CALL });
  const last = rows.at(-1);
  return {
    violations: rows
      .filter((row) => bool(row, 'wrong'))
      .map((row) => ({
        invariant: 'I16',
        jobId: null,
        detail: `the numbers of queue ${text(row, 'name')} are wrong: ${text(row, 'detail')}`,
      })),
    nextAfter: last === undefined || rows.length < QUEUES_PER_CALL ? null : text(last, 'name'),
  };
}
