/**
 * Which dead letters a filter names, in the order in which they happened. A call looks at a bounded number of records, so a narrow
 * filter may find few with more behind them.
 */
import { sql, type SQL } from 'drizzle-orm';
import type { DeadLetterId } from '../../domain/dead-letter.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { DeadLetterFilter } from '../../engine/ports/dead-letters.ts';
import type { Run } from '../database.ts';
import { int, int8, jobId } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

type PlaceParam = 'namespace' | 'queue' | 'type' | 'code' | 'replayed' | 'after' | 'until' | 'limit';

const queueId = sql`(
  select q.id from stint.queue q where q.shard = ${shard} and q.namespace = ${param('namespace')}::text and q.name = ${param('queue')}::text)`;

/** `inOrder` is the order of the index that leads to the candidates. Type and failure code are looked up only where they are asked for. */
const places = ({ candidates, inOrder }: { readonly candidates: SQL; readonly inOrder: SQL }) => sql`with scanned as materialized (
    select d.n, d.job, d.life, d.replayed_at from stint.dead_letter d
     where d.shard = ${shard} and ${candidates} and d.n > ${param('after')}::bigint and d.n <= ${param('until')}::bigint
     order by ${inOrder} limit ${LIMITS.scannedRows}),
  page as (
    select s.n, s.job, s.life from scanned s
     where (${param('replayed')}::boolean or s.replayed_at is null)
       and (${param('type')}::text is null or ${param('type')}::text = (
         select j.type from stint.job j where j.shard = ${shard} and j.id = s.job))
       and (${param('code')}::text is null or ${param('code')}::text = (
         select t.failure ->> 'code' from stint.terminal t where t.shard = ${shard} and t.job = s.job and t.life = s.life))
     order by s.n limit ${param('limit')}::int)
  select page.n, page.job, page.life, e.last, e.scanned
    from (select (select max(n) from scanned) as last, (select count(*)::int from scanned) as scanned) e
    left join page on true
   order by page.n`;

/** By primary key. */
const ofQueueStatement = statement<PlaceParam>(
  'dead-letters-of-queue',
  places({ candidates: sql`d.queue_id = ${queueId}`, inOrder: sql`d.n` }),
);

/** By the index on the namespace: to merge its queues would be to read as far in each as in all. */
const ofNamespaceStatement = statement<Exclude<PlaceParam, 'queue'>>(
  'dead-letters-of-namespace',
  places({ candidates: sql`d.namespace = ${param('namespace')}::text`, inOrder: sql`d.n` }),
);

/** By the unique index on job and life; the lives of a job are in the order of `n`. */
const ofJobStatement = statement<PlaceParam | 'job'>(
  'dead-letters-of-job',
  places({
    candidates: sql`d.job = ${param('job')}::uuid and d.namespace = ${param('namespace')}::text
      and (${param('queue')}::text is null or d.queue_id = ${queueId})`,
    inOrder: sql`d.life`,
  }),
);

interface Stretch {
  /** Null: from the first. */
  readonly after: bigint | null;
  /** The last position that counts; null: whatever is there. */
  readonly until: bigint | null;
  readonly limit: number;
}

export interface Place extends DeadLetterId {
  readonly position: bigint;
}

interface PlacePage {
  readonly places: readonly Place[];
  /** The position to go on after, where there may be more. */
  readonly nextAfter: bigint | null;
}

const LAST_POSITION = 2n ** 63n - 1n;

export async function deadLetterPlaces(run: Run, filter: DeadLetterFilter, { after, until, limit }: Stretch): Promise<PlacePage> {
  const { namespace, queue, type, failureCode, includeReplayed, jobId: job } = filter;
  const values = {
    ...{ namespace, type, code: failureCode, replayed: includeReplayed, limit },
    after: String(after ?? 0n),
    until: String(until ?? LAST_POSITION),
  };
  const rows =
    job !== null
      ? await run(ofJobStatement, { ...values, queue, job })
      : queue !== null
        ? await run(ofQueueStatement, { ...values, queue })
        : await run(ofNamespaceStatement, values);
  const found = rows.flatMap((row) =>
    row['n'] === null ? [] : [{ position: int8(row, 'n'), jobId: jobId(row, 'job'), life: int(row, 'life') }],
  );
  if (found.length === limit) return { places: found, nextAfter: found.at(-1)?.position ?? null };
  const [first] = rows;
  const isAll = first === undefined || int(first, 'scanned') < LIMITS.scannedRows;
  return { places: found, nextAfter: isAll ? null : int8(first, 'last') };
}
