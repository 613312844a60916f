/**
 * What the first claim of a queue by type brings about. From then on whatever makes a job of it READY writes its type into the token; those
 * that lie there already are sorted in step by step, and claimed by type once all are.
 *
 * Each step is a transaction that waits until the writes under way have ended, as operators' changes do: a statement that did not know of it
 * leaves tokens without a type, and one that has found a token by its place would not find it there again.
 */
import { sql } from 'drizzle-orm';
import type { Queue } from '../../domain/queue.ts';
import { plainArray } from '../array.ts';
import type { Database } from '../database.ts';
import { SORTED } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import { waitForWritersStatement } from './wait-for-writers.ts';

/** Tokens of one step: writes wait for some ten milliseconds. */
const TOKENS_PER_STEP = 1_000;

/** In the order of their numbers, and before the writers are waited for, as whoever configures a queue does. */
const lockUnsortedStatement = statement<'queueIds'>(
  'lock-unsorted',
  sql`select q.id from stint.queue q where q.shard = ${shard} and q.id = any(${param('queueIds')}::int[]) and q.sorted < ${SORTED.all}
   order by q.id for update`,
);

const markStatement = statement<'queueIds' | 'sorted'>(
  'mark-sorted',
  sql`update stint.queue set sorted = ${param('sorted')}::smallint
    where shard = ${shard} and id = any(${param('queueIds')}::int[]) and sorted <> ${param('sorted')}::smallint`,
);

/** By the primary key of `ready`. What has its type is passed over. A ctid stands still here: nobody else writes. */
const sortSomeStatement = statement<'queueIds' | 'limit'>(
  'sort-some',
  sql`update stint.ready r set type = coalesce((select j.type from stint.job j where j.shard = ${shard} and j.id = r.job), '')
    where r.shard = ${shard} and r.ctid = any(array(
      select u.tid from unnest(${param('queueIds')}::int[]) as t(queue_id)
        cross join lateral (
          select k.ctid as tid from stint.ready k where k.shard = ${shard} and k.queue_id = t.queue_id and k.type is null
           order by k.rank, k.ord limit ${param('limit')}::int) u
       limit ${param('limit')}::int))
    returning r.job`,
);

/** True once all of them are sorted; false: there are more tokens. */
export async function sortByType(database: Pick<Database, 'transaction'>, queues: readonly Queue[]): Promise<boolean> {
  return database.transaction(async (run) => {
    const unsorted = await run(lockUnsortedStatement, { queueIds: plainArray(queues.map(({ id }) => id)) });
    if (unsorted.length === 0) return true;
    const queueIds = plainArray(unsorted.map((row) => Number(row['id'])));
    await run(waitForWritersStatement, {});
    const sorted = await run(sortSomeStatement, { queueIds, limit: TOKENS_PER_STEP });
    const isDone = sorted.length < TOKENS_PER_STEP;
    await run(markStatement, { queueIds, sorted: isDone ? SORTED.all : SORTED.fresh });
    return isDone;
  });
}
