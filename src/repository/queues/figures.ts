/** How all queues are doing: by their tallies and gates, and the tail of the journal, never by the jobs themselves. */
import { sql, type SQL } from 'drizzle-orm';
import type { Backlog, Figures } from '../../engine/ports/figures.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { oldestSnapshotMs } from '../oldest-snapshot.ts';
import { bool, floatOrNull, int, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { ofEach, tailByQueue, unfolded } from '../tally.ts';
import { heads, oldestReady } from './oldest-ready.ts';

/** Queues whose oldest job is looked for, those with the most READY ones first: some index probes for each. */
const MAX_AGED = 2_000;

const states = [sql`scheduled`, sql`blocked`, sql`ready`, sql`leased`, sql`running`, sql`retry_wait`, sql`suspended`];

const ofStates = (told: (name: SQL) => SQL): SQL => sql.join(states.map(told), sql`, `);

/**
 * Rows: the `limit` queues with the most jobs, and one without a name for all others. A queue that has a gate is counted by it, as in
 * `queue-stats`. While nothing was folded yet there is no row.
 */
const figuresStatement = statement<'now' | 'limit'>(
  'queue-figures',
  sql`with ${clock}, ${unfolded},
  u as materialized (
    select queue_id, ${ofEach((name, at) => sql`sum(t.moves[t.i][${at}]) as ${name}`)} from (select u.* from ${tailByQueue}) t group by queue_id),
  b as materialized (
    select q.id, q.namespace, q.name, ${ofStates((name) => sql`coalesce(g.${name}, coalesce(y.${name}, 0) + coalesce(u.${name}, 0))::int8 as ${name}`)},
        (coalesce(y.dead_letters, 0) + coalesce(u.dead_letters, 0))::int8 as dead_letters
      from m cross join stint.queue q
      left join stint.queue_tally y on y.shard = ${shard} and y.queue_id = q.id
      left join stint.gate g on g.shard = ${shard} and g.queue_id = q.id
      left join u on u.queue_id = q.id
     where q.shard = ${shard}),
  x as materialized (
    select b.*, row_number() over (order by ${sql.join(states, sql` + `)} desc, id) as place,
        row_number() over (order by ready desc, id) as aged from b),
  a as materialized (
    select x.*, extract(epoch from c.now - o.oldest) * 1000 as oldest_ms, x.place <= ${param('limit')}::int as is_named
      from x cross join c
      left join lateral (with recursive ${heads(sql`x.id`)} select ${oldestReady(sql`x.id`)} as oldest) o on x.ready > 0 and x.aged <= ${MAX_AGED})
  select is_named, min(namespace) as namespace, min(name) as name, ${ofStates((name) => sql`sum(${name})::text as ${name}`)},
      sum(dead_letters)::text as dead_letters, max(oldest_ms)::float8 as oldest_ms
    from a group by is_named, case when is_named then id end`,
);

/** The `limit` queues with the most jobs by name. */
export async function queueFigures(run: Run, now: string | null, limit: number): Promise<Figures> {
  const rows = await run(figuresStatement, { now, limit });
  const others = rows.find((row) => !bool(row, 'is_named'));
  return {
    queues: rows
      .filter((row) => bool(row, 'is_named'))
      .map((row) => ({ namespace: text(row, 'namespace'), name: text(row, 'name'), ...parseBacklog(row) })),
    others: others === undefined ? null : parseBacklog(others),
    oldestSnapshotMs: await oldestSnapshotMs(run),
  };
}

function parseBacklog(row: Row): Backlog {
  const oldestMs = floatOrNull(row, 'oldest_ms');
  return {
    jobs: {
      ...{ scheduled: int(row, 'scheduled'), blocked: int(row, 'blocked'), ready: int(row, 'ready'), leased: int(row, 'leased') },
      ...{ running: int(row, 'running'), retryWait: int(row, 'retry_wait'), suspended: int(row, 'suspended') },
    },
    oldestReadyMs: oldestMs === null ? null : Math.max(0, oldestMs),
    deadLetters: int(row, 'dead_letters'),
  };
}
