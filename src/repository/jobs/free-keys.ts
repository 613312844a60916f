import { sql } from 'drizzle-orm';
import type { Queue } from '../../domain/queue.ts';
import { plainArray, textArray } from '../array.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { param, shard, statement } from '../statement.ts';

/** Lets go of keys whose hold has ended; asks again under the row's lock, for the holder may have changed. */
const freeKeysStatement = statement<'now' | 'epochs' | 'queueIds' | 'keys' | 'jobs'>(
  'free-keys',
  sql`with ${clockOfQueues},
  i as materialized (
    select t.* from unnest(${param('queueIds')}::int[], ${param('keys')}::text[], ${param('jobs')}::uuid[]) as t(queue_id, key, job)
     order by queue_id, key),
  m as materialized (
    select i.* from i cross join c cross join lateral (
      select 1 from stint.idem m
       where m.shard = ${shard} and m.queue_id = i.queue_id and m.key = i.key and m.job = i.job
         and (coalesce(m.expires_at <= c.now, false)
           or (m.until_terminal and exists (select 1 from stint.terminal t where t.shard = ${shard} and t.job = m.job))
           or not exists (select 1 from stint.job p where p.shard = ${shard} and p.id = m.job))
       for update of m) held)
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
