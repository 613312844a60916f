import { sql } from 'drizzle-orm';
import type { Job, JobId } from '../../domain/job.ts';
import type { EnqueueItem } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { parseRememberedJob } from '../remembered-job.ts';
import { bool, bytes, int, jobId, text, textOrNull } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/** Who stands where an item wanted to be: found by the id the client minted (first), else by its idempotency key. */
const findDuplicatesStatement = statement<'now' | 'epochs' | 'n' | 'ids' | 'queueIds' | 'keys'>(
  'find-duplicates',
  sql`with ${clockOfQueues}
  select i.n, d.job, d.by_key, d.free, coalesce(j.digest, d.digest, ''::bytea) as digest, coalesce(j.namespace, '') as namespace,
      case when j.digest is null then d.pruned end as pruned
    from unnest(${param('n')}::int[], ${param('ids')}::uuid[], ${param('queueIds')}::int[], ${param('keys')}::text[]) as i(n, id, queue_id, key)
    cross join c
    cross join lateral (
      select job.id as job, false as by_key, false as free, null::text as pruned, null::bytea as digest, 0 as preference from stint.job where job.shard = ${shard} and job.id = i.id
      union all
      select m.job, true, coalesce(m.expires_at <= c.now, false)
          or (m.until_terminal and exists (select 1 from stint.terminal t where t.shard = ${shard} and t.job = m.job and t.life >= m.life))
          or (m.pruned is null and not exists (select 1 from stint.job p where p.shard = ${shard} and p.id = m.job)), m.pruned, m.digest, 1
        from stint.idem m where m.shard = ${shard} and m.queue_id = i.queue_id and m.key = i.key
      order by preference limit 1) d
    left join lateral (select digest, namespace from stint.job where shard = ${shard} and id = d.job offset 0) j on true`,
);

export interface Duplicate {
  readonly jobId: JobId;
  /** True for a key whose job is pruned, ended by its scope, or past its ttl: the key may be taken over. */
  readonly freeKey: boolean;
  readonly digest: Uint8Array;
  readonly namespace: string;
  /** What the job was that held the key, where it is pruned and the key's ttl is not over. */
  readonly pruned: Job | null;
}

/** Positional; null where nobody stands any more. */
export async function findDuplicates(run: Run, now: string | null, items: readonly EnqueueItem[]): Promise<readonly (Duplicate | null)[]> {
  const rows = await run(findDuplicatesStatement, {
    now,
    epochs: epochsOf(items.map((item) => item.queue)),
    n: plainArray(items.map((_, index) => index)),
    ids: plainArray(items.map((item) => item.jobId)),
    queueIds: plainArray(items.map((item) => item.queue.id)),
    keys: textArray(items.map((item) => item.spec.idempotency?.key ?? null)),
  });
  const found: (Duplicate | null)[] = items.map(() => null);
  for (const row of rows) {
    const remembered = textOrNull(row, 'pruned');
    const pruned = remembered === null ? null : parseRememberedJob(remembered).job;
    found[int(row, 'n')] = {
      pruned,
      jobId: jobId(row, 'job'),
      freeKey: bool(row, 'by_key') && bool(row, 'free'),
      digest: bytes(row, 'digest'),
      namespace: pruned === null ? text(row, 'namespace') : pruned.namespace,
    };
  }
  return found;
}
