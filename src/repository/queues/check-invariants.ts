/**
 * Pages through the jobs, then through the tokens: the first pass compares what each job's rows say with what its events
 * say, the others find tokens that no job leads to.
 */
import { sql } from 'drizzle-orm';
import { jobViolations, type Violation } from '../../domain/history.ts';
import type { JobId } from '../../domain/job.ts';
import type { InvariantPage } from '../../engine/ports/repository.ts';
import type { Run } from '../database.ts';
import { jobFacts } from '../events/history.ts';
import { position } from '../jobs/position.ts';
import { miscountedKeys } from './miscounted-keys.ts';
import { miscountedQueues } from './miscounted-queues.ts';
import { recountOf } from './recount.ts';
import { bool, jobId, text } from '../row.ts';
import { SORTED } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import { uncappedOf } from '../worker-bounds.ts';

/** Rows that one call looks at, whatever it finds. */
const ROWS_PER_CALL = 1_000;

/** Events of one job that are folded; one with more is passed over. */
const EVENTS_PER_JOB = 100_000;

/** The next records after an id, with whether they are of the namespace. By primary key. */
const jobIdsStatement = statement<'namespace' | 'after' | 'limit'>(
  'job-ids',
  sql`select id as job, id::text as key, namespace = ${param('namespace')}::text as ours from stint.job
     where shard = ${shard} and id > ${param('after')}::uuid order by id limit ${param('limit')}::int`,
);

/** The next READY tokens, by primary key; stray where the job's own position is another, or where no claim by type finds it. */
const strayReadyStatement = statement<'namespace' | 'after' | 'limit'>(
  'stray-ready',
  sql`select x.job, x.queue_id || ':' || x.rank || ':' || x.ord || ':' || x.job as key,
      q.namespace = ${param('namespace')}::text and ((p.rank, p.ord) is distinct from (x.rank, x.ord)
        or q.sorted = ${SORTED.all} and x.type is distinct from p.of_type) as ours
    from (
      select * from stint.ready r where r.shard = ${shard} and (r.queue_id, r.rank, r.ord, r.job) > (
          split_part(${param('after')}::text, ':', 1)::int, split_part(${param('after')}::text, ':', 2)::bigint,
          split_part(${param('after')}::text, ':', 3)::bigint, split_part(${param('after')}::text, ':', 4)::uuid)
       order by r.queue_id, r.rank, r.ord, r.job limit ${param('limit')}::int) x
    cross join lateral (select namespace, sorted from stint.queue where shard = ${shard} and id = x.queue_id offset 0) q
    left join lateral (
      select p.*, j.type as of_type from stint.job j ${position} where j.shard = ${shard} and j.id = x.job offset 0) p on true
   order by x.queue_id, x.rank, x.ord, x.job`,
);

/** The next leased, deferred and parked tokens, by primary key; stray where there is no job. */
const strayHeldStatement = statement<'namespace' | 'after' | 'limit'>(
  'stray-held',
  sql`select x.job, x.job::text as key, q.namespace = ${param('namespace')}::text and not exists (
        select 1 from stint.job where shard = ${shard} and id = x.job) as ours
    from (
      select * from (select job, queue_id from stint.lease where shard = ${shard} and job > ${param('after')}::uuid order by job limit ${param('limit')}::int) l
      union all
      select * from (select job, queue_id from stint.deferred where shard = ${shard} and job > ${param('after')}::uuid order by job limit ${param('limit')}::int) d
      union all
      select * from (select job, queue_id from stint.parked where shard = ${shard} and job > ${param('after')}::uuid order by job limit ${param('limit')}::int) k
      order by job limit ${param('limit')}::int) x
    cross join lateral (select namespace from stint.queue where shard = ${shard} and id = x.queue_id offset 0) q
   order by x.job`,
);

/** Queues whose tokens one call counts. */
const GATES_PER_CALL = 10;

/** The next gates by queue, and where they count otherwise than the tokens, or miss leases by worker: one snapshot for both. */
const miscountedStatement = statement<'namespace' | 'after' | 'limit'>(
  'miscounted-gates',
  sql`select g.queue_id::text as key, q.namespace = ${param('namespace')}::text and (
        u.count > 0 or (g.scheduled, g.blocked, g.ready, g.leased, g.running, g.retry_wait, g.suspended)
          is distinct from (n.scheduled, n.blocked, n.ready, n.leased, n.running, n.retry_wait, n.suspended)) as ours,
      q.name, jsonb_build_object('counted', to_jsonb(g) - 'shard', 'there', to_jsonb(n) || jsonb_build_object('unbounded', u.count))::text as detail
    from (
      select g.* from stint.gate g where g.shard = ${shard} and g.queue_id > ${param('after')}::int
       order by g.queue_id limit ${param('limit')}::int) g
    cross join lateral (select * from stint.queue where shard = ${shard} and id = g.queue_id offset 0) q
    cross join lateral (${recountOf(sql`g.queue_id`)}) n
    cross join lateral (${uncappedOf(sql`g`)}) u
   order by g.queue_id`,
);

async function miscountedGates(run: Run, namespace: string, after: string): Promise<InvariantPage> {
  const rows = await run(miscountedStatement, { namespace, after, limit: GATES_PER_CALL });
  const last = rows.at(-1);
  return {
    violations: rows
      .filter((row) => bool(row, 'ours'))
      .map((row) => ({ invariant: 'I11', jobId: null, detail: `the gate of queue ${text(row, 'name')} is wrong: ${text(row, 'detail')}` })),
    next: last === undefined || rows.length < GATES_PER_CALL ? `${KEYS} 0` : `${GATES} ${text(last, 'key')}`,
  };
}

/** The last passes, which are not of jobs. */
const GATES = 'gates';
const KEYS = 'keys';
const QUEUES = 'queues';

type Found = Violation & { readonly jobId: JobId };

const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

const PASSES = [
  { name: 'jobs', first: LOWEST_ID, statement: jobIdsStatement, judge: judgeJobs },
  { name: 'ready', first: `0:0:0:${LOWEST_ID}`, statement: strayReadyStatement, judge: judgeStrays },
  { name: 'held', first: LOWEST_ID, statement: strayHeldStatement, judge: judgeStrays },
] as const;

/**
 * One page of one pass; `next` names where to go on, null at the end. At most `pageSize` violations, but those of one job
 * together.
 */
export async function checkInvariants(run: Run, namespace: string, pageSize: number, after: string | null): Promise<InvariantPage> {
  const [passName, from] = after === null ? ['jobs', LOWEST_ID] : splitOnce(after);
  if (passName === GATES) return miscountedGates(run, namespace, from);
  if (passName === KEYS) {
    const { violations, next } = await miscountedKeys(run, namespace, from);
    return { violations, next: next === null ? `${QUEUES} ` : `${KEYS} ${next}` };
  }
  if (passName === QUEUES) {
    const { violations, nextAfter } = await miscountedQueues(run, namespace, from);
    return { violations, next: nextAfter === null ? null : `${QUEUES} ${nextAfter}` };
  }
  const index = PASSES.findIndex((one) => one.name === passName);
  const pass = PASSES[index];
  if (pass === undefined) return { violations: [], next: null };
  const rows = await run(pass.statement, { namespace, after: from, limit: ROWS_PER_CALL });
  const ours = rows.filter((row) => bool(row, 'ours')).map((row) => jobId(row, 'job'));
  const found = ours.length === 0 ? [] : await pass.judge(run, ours);
  const violations = firstJobs(found, pageSize);
  const isFull = violations.length < found.length;
  const last = isFull ? rows.find((row) => jobId(row, 'job') === violations.at(-1)?.jobId) : rows.at(-1);
  if (last !== undefined && (isFull || rows.length === ROWS_PER_CALL)) return { violations, next: `${pass.name} ${text(last, 'key')}` };
  const following = PASSES[index + 1];
  return { violations, next: following === undefined ? `${GATES} 0` : `${following.name} ${following.first}` };
}

async function judgeJobs(run: Run, ids: readonly JobId[]): Promise<Found[]> {
  const facts = await jobFacts(
    run,
    ids.map((jobId) => ({ jobId, after: 0 })),
    EVENTS_PER_JOB,
    { bare: true },
  );
  // Of a longer history only a part was read, and a part folds to another state.
  return facts.flatMap((one) =>
    one === null || one.events.length === EVENTS_PER_JOB ? [] : jobViolations(one).map((violation) => ({ ...violation, jobId: one.jobId })),
  );
}

async function judgeStrays(_run: Run, ids: readonly JobId[]): Promise<Found[]> {
  return ids.map((id) => ({ invariant: 'I4', detail: 'a token lies where no job leads to it', jobId: id }));
}

/** Those of as many jobs as fit, of one at least: the next page begins behind a job. */
function firstJobs(found: readonly Found[], limit: number): readonly Found[] {
  if (found.length <= limit) return found;
  const jobOf = (index: number) => found[index]?.jobId;
  let end = limit;
  while (end > 0 && jobOf(end - 1) === jobOf(end)) end -= 1;
  if (end === 0) end = found.findIndex(({ jobId: id }) => id !== jobOf(0));
  return end === -1 ? found : found.slice(0, end);
}

function splitOnce(token: string): [string, string] {
  const space = token.indexOf(' ');
  return [token.slice(0, space), token.slice(space + 1)];
}
