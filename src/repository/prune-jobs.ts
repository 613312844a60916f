/**
 * Removes jobs that are over, each with everything that is of it, a batch in one transaction. Candidates come by the index
 * `terminal_finished`, in the order in which lives ended. What cannot be locked at once is left where it is: a retry locks the record of
 * its job and the holder of its key too, and a job that has another life keeps everything.
 */
import { sql } from 'drizzle-orm';
import type { JobId } from '../domain/job.ts';
import { plainArray, textArray } from './array.ts';
import { clock } from './clock.ts';
import type { Run } from './database.ts';
import { jobsWithoutResults } from './jobs/bulk.ts';
import type { PruneMark } from './prune-marks.ts';
import { moves } from './moves.ts';
import { rememberedJob } from './remembered-job.ts';
import { bool, int, jobId, text } from './row.ts';
import { param, shard, statement } from './statement.ts';

/** Which jobs. Null conditions are none. */
export interface PruneChoice {
  /** Ended before this time, as a literal; null: longer ago than `retentionMs`. */
  readonly before: string | null;
  /** Only of queues that retain their jobs for so long. */
  readonly retentionMs: number | null;
  readonly namespace: string | null;
  readonly queue: string | null;
  /** Event codes of ends. */
  readonly types: readonly number[] | null;
}

type ChoiceParam = 'retentionMs' | 'namespace' | 'queue' | 'types';

/** Whether the end `t` of job `j` in queue `q` is chosen, and no other life of the job has begun behind it. */
const isChosen = sql`(${param('retentionMs')}::bigint is null or q.retention_ms = ${param('retentionMs')}::bigint)
  and (${param('namespace')}::text is null or j.namespace = ${param('namespace')}::text)
  and (${param('queue')}::text is null or q.name = ${param('queue')}::text)
  and (${param('types')}::smallint[] is null or t.type = any(${param('types')}::smallint[]))
  and not exists (select 1 from stint.terminal o where o.shard = ${shard} and o.job = t.job and o.life > t.life)
  and not exists (select 1 from stint.job_event e where e.shard = ${shard} and e.job = t.job and e.life > t.life)`;

const jobOfT = sql`
  cross join lateral (select id, namespace, queue_id, idempotency_key, digest from stint.job where shard = ${shard} and id = t.job offset 0) j
  cross join lateral (select name, retention_ms from stint.queue where shard = ${shard} and id = j.queue_id offset 0) q`;

/** The next ends behind the mark. Many share a time, for one statement ends many lives: within a time they go by job. */
const findStatement = statement<ChoiceParam | 'now' | 'finishedAt' | 'job' | 'before' | 'limit'>(
  'find-ended',
  sql`with ${clock},
  b as materialized (
    select coalesce(${param('before')}::timestamptz,
        c.now - ${param('retentionMs')}::bigint * interval '1 millisecond' + interval '1 microsecond') as until from c),
  s as materialized (
    select t.job, t.life, t.type, t.finished_at from stint.terminal t
     where t.shard = ${shard} and t.finished_at >= ${param('finishedAt')}::timestamptz and t.finished_at < (select until from b)
       and (t.finished_at, t.job) > (${param('finishedAt')}::timestamptz, ${param('job')}::uuid)
     order by t.finished_at, t.job limit ${param('limit')}::int)
  select t.job, t.life, t.finished_at, coalesce(f.chosen, false) as chosen from s t
    left join lateral (select true as chosen from (select 1) one ${jobOfT} where ${isChosen}) f on true
   order by t.finished_at, t.job`,
);

/** As a retry locks them. */
const lockRecordsStatement = statement<'jobs' | 'from' | 'to'>(
  'lock-ended-records',
  sql`select id as job from stint.job where shard = ${shard} and id = any(${param('jobs')}::uuid[])
      and id >= ${param('from')}::uuid and id <= ${param('to')}::uuid
   order by id for update skip locked`,
);

/** The keys that the jobs hold, with whether each is locked, and whether its ttl outlives the job. */
const lockKeysStatement = statement<'now' | 'jobs'>(
  'lock-ended-keys',
  sql`with ${clock}
  select i.job, m.queue_id, m.key, l.key is not null as locked, not m.until_terminal and coalesce(m.expires_at > c.now, false) as outlives
    from unnest(${param('jobs')}::uuid[]) as i(job) cross join c
    cross join lateral (select queue_id, idempotency_key as key from stint.job where shard = ${shard} and id = i.job and idempotency_key is not null offset 0) j
    cross join lateral (
      select * from stint.idem where shard = ${shard} and queue_id = j.queue_id and key = j.key and job = i.job offset 0) m
    left join lateral (
      select o.key from stint.idem o where o.shard = ${shard} and o.queue_id = j.queue_id and o.key = j.key and o.job = i.job
        for update skip locked) l on true
   order by m.queue_id, m.key`,
);

const within = (column: string) => {
  const name = column === 'id' ? sql`id` : sql`job`;
  return sql`${name} = any(array(select job from gone)) and ${name} >= ${param('from')}::uuid and ${name} <= ${param('to')}::uuid`;
};

/** No event tells it, and the numbers of the queues do. */
const fewerDeadLetters = moves(sql`select queue_id, null::text as was, null::text as becomes from letters where replayed_at is null`, {
  dead: sql`-1`,
});

/** Judged once more behind the locks. The range tells the partitions that are looked into. */
const removeStatement = statement<ChoiceParam | 'now' | 'jobs' | 'lives' | 'from' | 'to' | 'keyQueues' | 'keys' | 'keyJobs' | 'kept'>(
  'remove-ended',
  sql`with ${clock},
  gone as materialized (
    select t.job, j.digest from unnest(${param('jobs')}::uuid[], ${param('lives')}::int[]) as i(job, life)
      cross join lateral (
        select job, life, type from stint.terminal where shard = ${shard} and job = i.job and life = i.life offset 0) t
      ${jobOfT}
     where ${isChosen}),
  held as materialized (
    select k.*, gone.digest from unnest(${param('keyQueues')}::int[], ${param('keys')}::text[], ${param('keyJobs')}::uuid[], ${param('kept')}::text[])
        as k(queue_id, key, job, kept)
      join gone on gone.job = k.job),
  keys_kept as (
    update stint.idem m set pruned = h.kept, digest = h.digest from held h
     where m.shard = ${shard} and m.queue_id = h.queue_id and m.key = h.key and m.job = h.job and h.kept is not null),
  keys_free as (
    delete from stint.idem m using held h
     where m.shard = ${shard} and m.queue_id = h.queue_id and m.key = h.key and m.job = h.job and h.kept is null),
  letters as (delete from stint.dead_letter where shard = ${shard} and ${within('job')} returning queue_id, replayed_at),
  told as (
    insert into stint.journal (shard, epoch, at, types, jobs, queue_ids, moves)
    select ${shard}, c.epoch, c.now, '{}', '{}', '{}', ${fewerDeadLetters}
      from c where exists (select from letters where replayed_at is null)),
  checkpoints as (delete from stint.checkpoint where shard = ${shard} and ${within('job')}),
  facts as (delete from stint.custom_event where shard = ${shard} and ${within('job')}),
  events as (delete from stint.job_event where shard = ${shard} and ${within('job')}),
  attempts as (delete from stint.attempt where shard = ${shard} and ${within('job')}),
  ends as (delete from stint.terminal where shard = ${shard} and ${within('job')}),
  jobs as (delete from stint.job where shard = ${shard} and ${within('id')})
  select count(*)::int as count from gone`,
);

interface Candidate {
  readonly job: string;
  readonly life: number;
  readonly finishedAt: string;
  readonly chosen: boolean;
}

export interface PruneStep {
  readonly removed: number;
  readonly scanned: number;
  /** Where the next step begins. */
  readonly mark: PruneMark;
  /** False where more may be behind the mark. */
  readonly atEnd: boolean;
  /** Somebody holds a lock on one of them: the mark is before it, and it is tried again later. */
  readonly blocked: boolean;
}

/** Those found next, and how far the look came. */
async function find(run: Run, now: string | null, choice: PruneChoice, mark: PruneMark, limit: number): Promise<readonly Candidate[]> {
  const rows = await run(findStatement, { now, ...values(choice), before: choice.before, ...mark, limit });
  return rows.map((row) => ({
    job: jobId(row, 'job'),
    life: int(row, 'life'),
    finishedAt: text(row, 'finished_at'),
    chosen: bool(row, 'chosen'),
  }));
}

const values = ({ retentionMs, namespace, queue, types }: PruneChoice) => ({
  ...{ retentionMs, namespace, queue },
  types: types === null ? null : plainArray(types),
});

/** How many are chosen of the next ends, removing none. */
export async function countEnded(run: Run, now: string | null, choice: PruneChoice, mark: PruneMark, limit: number): Promise<PruneStep> {
  const found = await find(run, now, choice, mark, limit);
  const removed = found.filter(({ chosen }) => chosen).length;
  return { removed, scanned: found.length, mark: found.at(-1) ?? mark, atEnd: found.length < limit, blocked: false };
}

/** Removes what is chosen of the next ends. To be called within a transaction: what it locks stays locked until that ends. */
export async function pruneEnded(run: Run, now: string | null, choice: PruneChoice, mark: PruneMark, limit: number): Promise<PruneStep> {
  const found = await find(run, now, choice, mark, limit);
  const chosen = found.filter((one) => one.chosen);
  const locked = chosen.length === 0 ? new Set<string>() : await lockRecords(run, chosen);
  const { keys, unlocked } = locked.size === 0 ? { keys: [], unlocked: new Set<string>() } : await lockKeys(run, now, [...locked]);
  const own = chosen.filter(({ job }) => locked.has(job) && !unlocked.has(job));
  const removed = own.length === 0 ? 0 : await remove(run, now, choice, own, keys);
  const held = found.findIndex((one) => one.chosen && !own.includes(one));
  return {
    removed,
    scanned: found.length,
    mark: (held === -1 ? found.at(-1) : found[held - 1]) ?? mark,
    atEnd: held === -1 && found.length < limit,
    blocked: held !== -1,
  };
}

/** The least and the greatest id of some: partitions beyond them are not looked into. */
function rangeOf(jobs: readonly string[]) {
  const sorted = jobs.toSorted();
  return { from: sorted[0] ?? '', to: sorted.at(-1) ?? '' };
}

async function lockRecords(run: Run, chosen: readonly Candidate[]): Promise<ReadonlySet<string>> {
  const jobs = chosen.map(({ job }) => job);
  const rows = await run(lockRecordsStatement, { jobs: plainArray(jobs), ...rangeOf(jobs) });
  return new Set(rows.map((row) => text(row, 'job')));
}

interface HeldKey {
  readonly job: JobId;
  readonly queueId: number;
  readonly key: string;
  readonly outlives: boolean;
}

/** The keys that are locked, and the jobs whose key is not. */
async function lockKeys(run: Run, now: string | null, jobs: readonly string[]) {
  const rows = await run(lockKeysStatement, { now, jobs: plainArray(jobs) });
  const keys = rows
    .filter((row) => bool(row, 'locked'))
    .map((row): HeldKey => ({
      job: jobId(row, 'job'),
      queueId: int(row, 'queue_id'),
      key: text(row, 'key'),
      outlives: bool(row, 'outlives'),
    }));
  return { keys, unlocked: new Set(rows.filter((row) => !bool(row, 'locked')).map((row) => text(row, 'job'))) };
}

async function remove(
  run: Run,
  now: string | null,
  choice: PruneChoice,
  own: readonly Candidate[],
  keys: readonly HeldKey[],
): Promise<number> {
  const jobs = own.map(({ job }) => job);
  const kept = await rememberedJobs(run, keys);
  const [row] = await run(removeStatement, {
    now,
    ...values(choice),
    jobs: plainArray(jobs),
    lives: plainArray(own.map(({ life }) => life)),
    ...rangeOf(jobs),
    keyQueues: plainArray(keys.map(({ queueId }) => queueId)),
    keys: textArray(keys.map(({ key }) => key)),
    keyJobs: plainArray(keys.map(({ job }) => job)),
    kept: textArray(keys.map(({ job }) => kept.get(job) ?? null)),
  });
  if (row === undefined) throw new Error('a removal told nothing');
  return int(row, 'count');
}

/** What those are answered with who enqueue under a key that outlives its job: the job as it was, without its result. */
async function rememberedJobs(run: Run, keys: readonly HeldKey[]): Promise<ReadonlyMap<string, string>> {
  const ids = keys.filter(({ outlives }) => outlives).map(({ job }) => job);
  const jobs = ids.length === 0 ? [] : await jobsWithoutResults(run, ids);
  return new Map(jobs.flatMap((job) => (job === null ? [] : [[job.jobId, rememberedJob('PRUNED', job)]])));
}
