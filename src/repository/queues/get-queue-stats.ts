import { sql } from 'drizzle-orm';
import { CLAIMABLE_LOOKED_AT, claimableOf, RATE_SECONDS, ratesOf, type QueueLimiter, type QueueStats } from '../../domain/queue-stats.ts';
import { type QueueName, STATUS_CODES } from '../../domain/queue.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { bucketLevel } from '../gates.ts';
import { oldestSnapshotMs } from '../oldest-snapshot.ts';
import { bool, instant, instantOrNull, int, intOrNull, plainItems, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { asSample, ofEach, parseSamples, tailByQueue, unfolded } from '../tally.ts';
import { beginTallies } from '../upkeep/fold-journal.ts';
import { parseStatus } from './configured-queue.ts';
import { heads, oldestReady } from './oldest-ready.ts';

const queueId = sql`(select id from q)`;

/** Of its READY jobs that can be claimed, the first. */
const seen = sql`(select count(*) from (select from stint.ready r where r.shard = ${shard} and r.queue_id = (select id from q) limit ${CLAIMABLE_LOOKED_AT}) x)`;

/** As a claim decides; behind that, whether there is anything to claim. */
const limiter = sql`case
    when q.status in (${STATUS_CODES.PAUSED}, ${STATUS_CODES.DRAINING_IN_FLIGHT}) or exists (
      select 1 from stint.paused_namespace n where n.shard = ${shard} and n.namespace = q.namespace) then 'STATUS'
    when g.max_in_flight <= g.leased + g.running then 'MAX_IN_FLIGHT'
    when g.rate_permits is not null and ${bucketLevel(sql`g`)} < 1 then 'RATE'
    when exists (select 1 from high) then 'WORKERS'
    when coalesce(g.blocked, coalesce(y.blocked, 0) + coalesce(u.blocked, 0)) > 0 then 'CONCURRENCY_KEYS'
    else 'EMPTY' end`;

/** Of the totals, what the tail has of the last minute. */
const recent = sql.join(
  [9, 10, 11, 12].map(
    (at) => sql`coalesce(sum(t.moves[t.i][${at}]) filter (where t.at > c.now - ${RATE_SECONDS} * interval '1 second'), 0)`,
  ),
  sql`, `,
);

/** The tally of the queue and the tail of the journal, and the gate where there is one, all of one snapshot. */
const queueStatsStatement = statement<'now' | 'namespace' | 'name'>(
  'queue-stats',
  sql`with recursive ${clock}, ${unfolded},
  q as materialized (
    select * from stint.queue where shard = ${shard} and namespace = ${param('namespace')}::text and name = ${param('name')}::text),
  ${heads(queueId)},
  u as materialized (
    select ${ofEach((name, at) => sql`coalesce(sum(t.moves[t.i][${at}]), 0) as ${name}`)}, array[${recent}] as recent
      from (select u.* from ${tailByQueue} where u.queue_id = (select id from q)) t cross join c)
  select c.now, q.status, exists (select 1 from m) as begun, ${limiter} as limiter, ${oldestReady(queueId)} as oldest_ready_at, ${seen} as seen, g.max_in_flight,
      coalesce(g.scheduled, coalesce(y.scheduled, 0) + u.scheduled) as scheduled, coalesce(g.blocked, coalesce(y.blocked, 0) + u.blocked) as blocked,
      coalesce(g.ready, coalesce(y.ready, 0) + u.ready) as ready, coalesce(g.leased, coalesce(y.leased, 0) + u.leased) as leased,
      coalesce(g.running, coalesce(y.running, 0) + u.running) as running,
      coalesce(g.retry_wait, coalesce(y.retry_wait, 0) + u.retry_wait) as retry_wait,
      coalesce(g.suspended, coalesce(y.suspended, 0) + u.suspended) as suspended,
      coalesce(y.dead_letters, 0) + u.dead_letters as dead_letters, u.recent::text as recent, case when y.queue_id is not null then (y.samples || ${asSample})::text end as samples
    from q cross join c cross join u
    left join stint.queue_tally y on y.shard = ${shard} and y.queue_id = q.id
    left join stint.gate g on g.shard = ${shard} and g.queue_id = q.id`,
);

/** Times that the tallies are begun where they are not: once, but that a restore may come in between. */
const MAX_BEGINNINGS = 3;

/** For so long the age of the oldest snapshot is not asked again. */
const SNAPSHOT_REMEMBERED_MS = 1_000;

type QueueStatsReader = (now: string | null, name: QueueName) => Promise<QueueStats | null>;

/** Null: there is no such queue. `slow` is for the count with which the tallies begin, where no fold has begun them. */
export function queueStatsReader({ run, slow }: { readonly run: Run; readonly slow: Run }): QueueStatsReader {
  let asked = { at: Number.NEGATIVE_INFINITY, age: Promise.resolve<number | null>(null) };
  const oldest = () => {
    if (performance.now() - asked.at > SNAPSHOT_REMEMBERED_MS) asked = { at: performance.now(), age: oldestSnapshotMs(run) };
    return asked.age;
  };
  return async (now, { namespace, name }) => {
    const row = await readStats({ run, slow }, now, { namespace, name });
    return row === null ? null : { namespace, name, ...parseStats(row), oldestSnapshotMs: await oldest() };
  };
}

async function readStats(
  { run, slow }: { readonly run: Run; readonly slow: Run },
  now: string | null,
  name: QueueName,
): Promise<Row | null> {
  const { namespace, name: queue } = name;
  for (let beginnings = 0; beginnings <= MAX_BEGINNINGS; beginnings += 1) {
    const [row] = await run(queueStatsStatement, { now, namespace, name: queue });
    if (row === undefined) return null;
    if (bool(row, 'begun')) return row;
    await beginTallies(slow, now);
  }
  throw new StoreError('unavailable', 'the tallies of the queues cannot be begun');
}

function parseStats(row: Row): Omit<QueueStats, keyof QueueName | 'oldestSnapshotMs'> {
  const observedAt = instant(row, 'now');
  const oldestReadyAt = instantOrNull(row, 'oldest_ready_at');
  const count = (column: string) => int(row, column);
  const limiter = parseLimiter(text(row, 'limiter'));
  const jobs = {
    ...{ scheduled: count('scheduled'), blocked: count('blocked'), ready: count('ready'), leased: count('leased') },
    ...{ running: count('running'), retryWait: count('retry_wait'), suspended: count('suspended') },
  };
  const [enqueued = 0, claimed = 0, finished = 0, failed = 0] = (plainItems(row, 'recent') ?? []).map(Number);
  return {
    observedAt,
    status: parseStatus(int(row, 'status')),
    jobs,
    claimable: claimableOf({ jobs, limiter, seen: count('seen'), maxInFlight: intOrNull(row, 'max_in_flight') }),
    oldestReadyMs: oldestReadyAt === null ? null : Math.max(0, observedAt - oldestReadyAt) / 1_000,
    rates: ratesOf(observedAt, parseSamples(row, 'samples'), { enqueued, claimed, finished, failed }),
    limiter,
    deadLetters: count('dead_letters'),
  };
}

const LIMITERS: readonly QueueLimiter[] = ['EMPTY', 'WORKERS', 'MAX_IN_FLIGHT', 'RATE', 'CONCURRENCY_KEYS', 'STATUS'];

function parseLimiter(word: string): QueueLimiter {
  const found = LIMITERS.find((one) => one === word);
  if (found === undefined) throw new Error('a queue is limited by something unknown');
  return found;
}
