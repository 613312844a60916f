/**
 * What has been over for longer than it is retained: jobs, a walk for each retention in use; keys that outlived their jobs; what requests
 * were answered; sessions that lapsed. Small batches, each a commit.
 */
import { sql } from 'drizzle-orm';
import { REQUEST_MEMORY_MS, SESSION_MEMORY_MS } from '../../domain/retention.ts';
import type { UpkeepRound } from '../../engine/ports/upkeep.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import { clock } from '../clock.ts';
import type { Database, Run } from '../database.ts';
import { pruneEnded, type PruneStep } from '../prune-jobs.ts';
import { lockMark, setMark, walkOfRetention } from '../prune-marks.ts';
import { int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { databaseTime } from './ensure-partitions.ts';

/** Tried in the place of a batch that took too long, and given more time: a job may have 10,000 custom events of 64 KiB. */
const SMALLEST_BATCH = 1;

/** Where the rounds run, and where a job is removed alone for which they have too little time. */
interface PrunePools {
  readonly upkeep: Pick<Database, 'run' | 'transaction'>;
  readonly slow: Pick<Database, 'transaction'>;
}

/** There are few, however many queues. */
const retentionsStatement = statement<never>(
  'retentions',
  sql`select distinct retention_ms from stint.queue where shard = ${shard} order by retention_ms`,
);

/** By the partial index `idem_pruned`, in which only keys without a job stand. */
const forgetKeysStatement = statement<'now' | 'limit'>(
  'forget-keys',
  sql`with ${clock},
  gone as (
    delete from stint.idem where shard = ${shard} and ctid = any(array(
      select m.ctid from stint.idem m where m.shard = ${shard} and m.pruned is not null and m.expires_at <= (select now from c)
       order by m.expires_at limit ${param('limit')}::int for update skip locked)) returning 1)
  select count(*)::int as count from gone`,
);

/** By the index `request_at`. Remembered while what was asked for may be retained, and a day longer. */
const forgetRequestsStatement = statement<'now' | 'limit'>(
  'forget-answers',
  sql`with ${clock},
  b as materialized (
    select c.now - interval '1 millisecond' * (${REQUEST_MEMORY_MS} + coalesce((
      select max(q.retention_ms) from stint.queue q where q.shard = ${shard}), 0)) as until from c),
  gone as (
    delete from stint.request where shard = ${shard} and ctid = any(array(
      select r.ctid from stint.request r where r.shard = ${shard} and r.at < (select until from b)
       order by r.at limit ${param('limit')}::int for update skip locked)) returning 1)
  select count(*)::int as count from gone`,
);

/** Reads the whole of `session`: an index on its end would cost every beat its HOT update, and rows are as few as workers. */
const forgetSessionsStatement = statement<'now' | 'limit'>(
  'forget-sessions',
  sql`with ${clock},
  gone as (
    delete from stint.session where shard = ${shard} and id = any(array(
      select s.id from stint.session s
       where s.shard = ${shard} and s.until <= (select now from c) - interval '1 millisecond' * ${SESSION_MEMORY_MS}
       order by s.id limit ${param('limit')}::int for update skip locked)) returning 1)
  select count(*)::int as count from gone`,
);

/** A `Prune` that was not called again is not gone on with. */
const forgetMarksStatement = statement<'now'>(
  'forget-prune-marks',
  sql`with ${clock}
  delete from stint.prune_mark m using c
   where m.shard = ${shard} and m.walk like 'filter %' and m.at < c.now - interval '1 day'`,
);

export async function pruneExpired(pools: PrunePools, now: string | null, limit: number): Promise<UpkeepRound> {
  const { run } = pools.upkeep;
  const classes = await run(retentionsStatement, {});
  let [pruned, more] = [0, false];
  for (const row of classes) {
    const step = await stepOf(pools, now, int(row, 'retention_ms'), limit);
    pruned += step?.removed ?? 0;
    more ||= step !== null && !step.atEnd && !step.blocked;
  }
  const forgotten: number[] = [];
  for (const what of [forgetKeysStatement, forgetRequestsStatement, forgetSessionsStatement])
    forgotten.push(await forget(run, what, now, limit));
  await run(forgetMarksStatement, { now });
  return {
    count: pruned,
    more: more || forgotten.some((count) => count === limit),
    nextDueAt: null,
    databaseTime: await databaseTime(run, now),
    readyQueues: [],
    touchesKeys: false,
  };
}

async function forget(run: Run, what: typeof forgetKeysStatement, now: string | null, limit: number): Promise<number> {
  const [row] = await run(what, { now, limit });
  return row === undefined ? 0 : int(row, 'count');
}

/** Null where another replica is at it. */
async function stepOf(pools: PrunePools, now: string | null, retentionMs: number, limit: number): Promise<PruneStep | null> {
  const database = limit > SMALLEST_BATCH ? pools.upkeep : pools.slow;
  const walk = walkOfRetention(retentionMs);
  const choice = { before: null, retentionMs, namespace: null, queue: null, types: null };
  try {
    return await database.transaction(async (run) => {
      const mark = await lockMark(run, now, walk);
      if (mark === null) return null;
      const step = await pruneEnded(run, now, choice, mark, limit);
      const stands = step.mark.finishedAt === mark.finishedAt && step.mark.job === mark.job;
      if (!stands) await setMark(run, now, walk, step.mark);
      return step;
    });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.kind === 'contended') return null;
    // Jobs with very many attempts or custom events take longer than a statement may: fewer of them at once.
    if (error.kind === 'unavailable' && limit > SMALLEST_BATCH) {
      return await stepOf(pools, now, retentionMs, Math.max(SMALLEST_BATCH, Math.floor(limit / 10)));
    }
    throw error;
  }
}
