import postgres, { type Sql } from 'postgres';
import { EVENT_CODES } from '../../src/domain/event.ts';
import { jobSizeBytes } from '../../src/domain/job.ts';
import { JobIdMint } from '../../src/engine/jobs/mint-job-id.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { EnqueueItem } from '../../src/engine/ports/repository.ts';
import { openStore } from '../../src/repository/store.ts';
import { itemOf } from '../database-route.ts';
import { PAYLOAD } from '../payload.ts';

/** Rows of one commit: what it keeps aside of them stays small. */
const SLICE = 250_000;

/** Jobs that one row of the journal tells of, as a full batch does. */
const JOBS_A_JOURNAL_ROW = 1_000;

export interface LayIn {
  /** Of a database that is empty, or has the schema. */
  readonly url: string;
  readonly queue: string;
  readonly jobs: number;
  readonly signal?: AbortSignal;
}

/**
 * READY jobs by the database itself, several times as fast as by calls: records, tokens and journal are such as an enqueue writes. Then the
 * database is vacuumed and analyzed, as it is some time later, and the tallies count what is there.
 */
export async function layIn({ url, queue, jobs, signal }: LayIn): Promise<void> {
  const store = await openStore({ url, clock: DATABASE_CLOCK, random: Math.random });
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    const [made] = await store.repository.createQueues([{ namespace: 'default', name: queue }]);
    const mint = new JobIdMint();
    mint.setDatabaseTime(await store.repository.databaseTime());
    for (let from = 1; from <= jobs; from += SLICE) {
      signal?.throwIfAborted();
      const item = itemOf(made, mint, { payload: PAYLOAD, fairnessKey: '', concurrencyKey: '' });
      await insert(sql, item, { from, to: Math.min(jobs, from + SLICE - 1) });
    }
    await sql`vacuum analyze`;
    await sql`checkpoint`;
    await store.repository.foldJournal();
  } finally {
    await sql.end({ timeout: 5 });
    await store.close();
  }
}

/** Jobs like `item`. Of its id they have the time, the version and some of what is random; the rest counts. */
async function insert(sql: Sql, item: EnqueueItem, { from, to }: { readonly from: number; readonly to: number }): Promise<void> {
  const { queue, spec, digest } = item;
  const { type, contentType, payload } = spec;
  await sql`
    with j as (
      insert into stint.job (shard, id, namespace, queue_id, type, rank, ord, created_at, digest, content_type, headers, labels, payload)
      select 0, (${item.jobId.slice(0, 24)}::text || lpad(to_hex(g), 12, '0'))::uuid, ${queue.namespace}, ${queue.id}, ${type}, 0, nextval('stint.job_ord'), now(),
             ${Buffer.from(digest)}::bytea, ${contentType}, '{}', '{}', ${Buffer.from(payload)}::bytea
        from generate_series(${from}::int, ${to}::int) g
      returning id, ord),
    r as (
      insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, out_of_order)
      select 0, ${queue.id}, 0, ord, id, 0, 0, 1, 1, 0, ${jobSizeBytes(spec)}, false, false from j order by ord)
    insert into stint.journal (shard, epoch, at, types, jobs, queue_ids, details, moves)
    select 0, stint.current_epoch(0::smallint), now(), array_agg(${EVENT_CODES.enqueued}::smallint), array_agg(id order by ord), array_agg(${queue.id}::int),
           array_agg(${JSON.stringify({ t: type })}::text),
           array[array[${queue.id}::int, 0, 0, count(*)::int, 0, 0, 0, 0, count(*)::int, 0, 0, 0, 0]]
      from (select id, ord, (row_number() over (order by ord) - 1) / ${JOBS_A_JOURNAL_ROW}::int as page from j) x group by page`;
}
