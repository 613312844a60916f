/**
 * Folds the tail of the journal into the tallies. One replica at a time, who holds the mark: mark and tallies move in one commit, so what
 * is folded is folded once, whoever dies when.
 */
import { sql } from 'drizzle-orm';
import type { UpkeepRound } from '../../engine/ports/upkeep.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { behind, cutSnapshot, here, taken } from '../events/cut-snapshot.ts';
import { bool } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { asSample, behindMark, ofEach, tailByQueue, tailOf } from '../tally.ts';
import { DEFERRED, PARKED } from '../tokens.ts';
import { parseRound } from '../upkeep-round.ts';

/** Under load a fold is followed by the next one in so many milliseconds: the tail that a look reads stays short. */
const AGAIN_MS = 250;

/** Samples of a tally, five numbers each; no three of them within the gap, so that they reach back a minute and a gap. */
const SAMPLES = 16;
const SAMPLE_GAP_SECONDS = 10;

/** Before tally `y` moves on: what it was is kept, where the last that was kept is old enough. */
const samples = sql`case when coalesce(y.samples[cardinality(y.samples) - 4], 0)
      <= extract(epoch from excluded.at) * 1000000 - ${SAMPLE_GAP_SECONDS * 1_000_000}
    then (y.samples || ${asSample})[greatest(1, cardinality(y.samples) + 6 - ${SAMPLES * 5}):] else y.samples end`;

/**
 * `limit` rows at most, and all of the transaction that the last one is of: the mark can only stand between two transactions. Where the
 * mark was moved since the statement's snapshot it is another's turn, for its lock shows the latest version and the rows do not.
 */
const foldStatement = statement<'now' | 'limit'>(
  'fold-journal',
  sql`with ${clock}, ${taken},
  seen as materialized (select epoch, snapshot::text as snapshot from stint.tally_mark where shard = ${shard}),
  locked as materialized (select t.epoch, t.snapshot from stint.tally_mark t where t.shard = ${shard} for update skip locked),
  m as materialized (select l.* from locked l join seen on seen.epoch = l.epoch and seen.snapshot = l.snapshot::text),
  edge as materialized (
    select e.epoch, ${behind(sql`e.xid`)} as xid from m cross join lateral (
      select a.epoch, a.xid from stint.journal a where ${behindMark} order by a.epoch, a.xid offset ${param('limit')}::int - 1 limit 1) e),
  bound as materialized (
    select coalesce(e.epoch, k.epoch) as epoch, coalesce(e.xid, k.top) as xid, k.taken, k.epoch as here from m cross join k left join edge e on true),
  ${tailOf(sql`m cross join bound`, sql`(a.epoch, a.xid) < (bound.epoch, bound.xid)`)},
  tallied as (
    insert into stint.queue_tally as y (shard, queue_id, ${ofEach((name) => name)}, at, samples)
    select ${shard}, u.queue_id, ${ofEach((_, at) => sql`sum(u.moves[u.i][${at}])`)}, max(u.at), '{}' from ${tailByQueue}
     group by u.queue_id order by u.queue_id
    on conflict (shard, queue_id) do update set ${ofEach((name) => sql`${name} = y.${name} + excluded.${name}`)},
      at = greatest(y.at, excluded.at), samples = ${samples}),
  marked as (
    update stint.tally_mark t set epoch = b.epoch, snapshot = case when b.epoch = b.here then ${cutSnapshot(sql`b.taken`, sql`b.xid`)}
        else (b.xid::text || ':' || b.xid::text || ':')::pg_snapshot end
      from bound b where t.shard = ${shard})
  select c.now, x.count, x.count > 0 or exists (select from seen) as begun, '[]'::jsonb as ready_queues,
      case when x.count > 0 then c.now + ${AGAIN_MS} * interval '1 millisecond' end as next_due_at
    from c cross join (select count(*)::int as count from tail) x`,
);

/**
 * Where nothing was folded yet the tallies begin with what is there, counted one by one: of one snapshot, which is the mark. The first of
 * two who begin has done it for both.
 */
const beginStatement = statement<'now'>(
  'begin-tallies',
  sql`with ${clock}, ${here},
  m as (
    insert into stint.tally_mark (shard, epoch, snapshot) select ${shard}, s.epoch, s.snapshot from s
    on conflict (shard) do nothing returning epoch),
  there as (
    select queue_id, count(*) as ready, 0 as leased, 0 as running, 0 as scheduled, 0 as retry_wait, 0 as suspended, 0 as dead_letters,
        0 as blocked
      from stint.ready where shard = ${shard} group by queue_id
    union all select queue_id, 0, count(*) filter (where started_at is null), count(*) filter (where started_at is not null), 0, 0, 0, 0, 0
      from stint.lease where shard = ${shard} group by queue_id
    union all select queue_id, 0, 0, 0, count(*) filter (where kind <> ${DEFERRED.retryWait}), count(*) filter (where kind = ${DEFERRED.retryWait}), 0, 0, 0
      from stint.deferred where shard = ${shard} group by queue_id
    union all select queue_id, count(*) filter (where kind = ${PARKED.external}), 0, 0, 0, 0, count(*) filter (where kind = ${PARKED.suspended}), 0,
        count(*) filter (where kind = ${PARKED.blocked})
      from stint.parked where shard = ${shard} group by queue_id
    union all select queue_id, 0, 0, 0, 0, 0, 0, count(*), 0
      from stint.dead_letter where shard = ${shard} and replayed_at is null group by queue_id),
  tallied as (
    insert into stint.queue_tally (shard, queue_id, scheduled, blocked, ready, leased, running, retry_wait, suspended, enqueued, claimed,
        finished, failed, dead_letters, at, samples)
    select ${shard}, t.queue_id, sum(t.scheduled), sum(t.blocked), sum(t.ready), sum(t.leased), sum(t.running), sum(t.retry_wait), sum(t.suspended), 0, 0,
        0, 0, sum(t.dead_letters), c.now, '{}'
      from there t cross join m cross join c group by t.queue_id, c.now)
  select c.now from c`,
);

/** `slow` is for the count with which the tallies begin. */
export async function foldJournal(
  { run, slow }: { readonly run: Run; readonly slow: Run },
  now: string | null,
  limit: number,
): Promise<UpkeepRound> {
  const rows = await run(foldStatement, { now, limit });
  const [row] = rows;
  if (row === undefined) throw new Error('a fold answered nothing');
  if (!bool(row, 'begun')) await beginTallies(slow, now);
  return parseRound(rows, limit);
}

export async function beginTallies(slow: Run, now: string | null): Promise<void> {
  await slow(beginStatement, { now });
}
