import { sql } from 'drizzle-orm';
import type { Queue } from '../../domain/queue.ts';
import { plainArray, textArray } from '../array.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { param, shard, statement } from '../statement.ts';

/**
 * Lets go of keys whose hold has ended; asks again under the row's lock, for the holder may have changed. Asked outside of the lock's
 * own query: a row that moved while it was waited for is checked once more by what stands in there, and Postgres 18 dies of it where
 * that prunes partitions by a column of the row.
 */
const freeKeysStatement = statement<'now' | 'epochs' | 'queueIds' | 'keys' | 'jobs'>(
  'free-keys',
  sql`with ${clockOfQueues},
  i as materialized (
    select t.* from unnest(${param('queueIds')}::int[], ${param('keys')}::text[], ${param('jobs')}::uuid[]) as t(queue_id, key, job)
     order by queue_id, key),
  held as materialized (
    select h.* from i cross join lateral (
      select m.queue_id, m.key, m.job, m.life, m.until_terminal, m.expires_at, m.pruned from stint.idem m
       where m.shard = ${shard} and m.queue_id = i.queue_id and m.key = i.key and m.job = i.job
       for update) h),
  m as materialized (
    select h.* from held h cross join c
     where coalesce(h.expires_at <= c.now, false)
       or (h.until_terminal and exists (select 1 from stint.terminal t where t.shard = ${shard} and t.job = h.job and t.life >= h.life))
       or (h.pruned is null and not exists (select 1 from stint.job p where p.shard = ${shard} and p.id = h.job)))
  delete from stint.idem d using m where d.shard = ${shard} and d.queue_id = m.queue_id and d.key = m.key and d.job = m.job`,
);

export interface HeldKey {
  readonly queue: Queue;
  readonly key: string;
  readonly job: string;
}

export async function freeKeys(run: Run, now: string | null, held: readonly HeldKey[]): Promise<void> {
  await run(freeKeysStatement, {
    now,
    epochs: epochsOf(held.map((one) => one.queue)),
    queueIds: plainArray(held.map((one) => one.queue.id)),
    keys: textArray(held.map((one) => one.key)),
    jobs: plainArray(held.map((one) => one.job)),
  });
}
