import { sql } from 'drizzle-orm';
import type { JobId } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Queue } from '../../domain/queue.ts';
import type { SignedJob } from '../../domain/signature.ts';
import type { SignedQueue } from '../../engine/ports/repository.ts';
import { epochsOf } from '../clock.ts';
import type { Database, Run } from '../database.ts';
import { int, jobId, plainItems, text } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { parseStanding, signedFacts, type Standing } from './signed-facts.ts';

/** Jobs that are read whole at once. */
const JOBS_AT_ONCE = 500;

/** All that follows in the transaction sees one instant. */
const snapshotStatement = statement<never>('snapshot', sql`set transaction isolation level repeatable read, read only`);

/** The next records after an id, and which of them are of the queue. By primary key, as a listing looks. */
const idsOfQueueStatement = statement<'queueId' | 'epochs' | 'after'>(
  'ids-of-queue',
  sql`with scanned as materialized (
      select id, queue_id from stint.job where shard = ${shard} and id > ${param('after')}::uuid
          and stint.expect_epoch(${shard}, ${param('epochs')}::int[]) is not null
       order by id limit ${LIMITS.scannedRows})
    select (array_agg(id) filter (where queue_id = ${param('queueId')}::int))::text as ids, count(*)::int as scanned,
        (select id from scanned order by id desc limit 1) as last
      from scanned`,
);

/** The next tokens of the backlog, by primary key: in dispatch order. */
const backlogStatement = statement<'queueId' | 'rank' | 'ord' | 'job'>(
  'backlog',
  sql`select r.job, r.rank, r.ord, r.life, r.attempt from stint.ready r
     where r.shard = ${shard} and r.queue_id = ${param('queueId')}::int
       and (r.rank, r.ord, r.job) > (${param('rank')}::bigint, ${param('ord')}::bigint, ${param('job')}::uuid)
     order by r.rank, r.ord, r.job limit ${LIMITS.scannedRows}`,
);

const LOWEST_ID = '00000000-0000-0000-0000-000000000000';
/** Before every position: −2³¹ is the lowest rank. */
const LOWEST_RANK = '-2147483649';

/** In one transaction and one snapshot: nothing that moves meanwhile is missed or seen twice. Null: more jobs than `limit`. */
export async function signedJobs<Reduced>(
  database: Pick<Database, 'transaction'>,
  queue: Queue,
  limit: number,
  reduce: (job: SignedJob) => Reduced,
): Promise<SignedQueue<Reduced> | null> {
  return await database.transaction(async (run) => {
    await run(snapshotStatement, {});
    const ids = await idsOfQueue(run, queue, limit);
    if (ids === null) return null;
    const standing = await backlogOf(run, queue);
    const reduced = new Map<JobId, Reduced>();
    for (let from = 0; from < ids.length; from += JOBS_AT_ONCE) {
      const jobs = await signedFacts(run, ids.slice(from, from + JOBS_AT_ONCE), standing);
      for (const [id, job] of jobs) reduced.set(id, reduce(job));
    }
    const backlog = [...standing.keys()].map((id) => taken(reduced, id));
    return { backlog, others: [...reduced.values()] };
  });
}

/** Takes out what a job was reduced to. */
function taken<Reduced>(reduced: Map<JobId, Reduced>, id: JobId): Reduced {
  const found = reduced.get(id);
  if (found === undefined) throw new Error('a token of a queue has no job there');
  reduced.delete(id);
  return found;
}

async function idsOfQueue(run: Run, queue: Queue, limit: number): Promise<readonly string[] | null> {
  const ids: string[] = [];
  for (let after = LOWEST_ID; ;) {
    const [row] = await run(idsOfQueueStatement, { queueId: queue.id, epochs: epochsOf([queue]), after });
    if (row === undefined) throw new Error('a look for the jobs of a queue answered nothing');
    ids.push(...(plainItems(row, 'ids') ?? []));
    if (ids.length > limit) return null;
    if (int(row, 'scanned') < LIMITS.scannedRows) return ids;
    after = text(row, 'last');
  }
}

/** The tokens that may be claimed, in dispatch order. */
async function backlogOf(run: Run, { id }: Queue): Promise<ReadonlyMap<JobId, Standing>> {
  const standing = new Map<JobId, Standing>();
  for (let [rank, ord, job] = [LOWEST_RANK, '0', LOWEST_ID]; ;) {
    const rows = await run(backlogStatement, { queueId: id, rank, ord, job });
    for (const row of rows) standing.set(jobId(row, 'job'), parseStanding(row, 'READY'));
    const last = rows.at(-1);
    if (last === undefined || rows.length < LIMITS.scannedRows) return standing;
    [rank, ord, job] = [text(last, 'rank'), text(last, 'ord'), text(last, 'job')];
  }
}
