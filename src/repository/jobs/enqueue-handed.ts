/**
 * Enqueue of a plain batch into one queue, for which workers wait: those jobs that they want are given to them in the same commit, and never become tokens
 * of the backlog. What the enqueue (`enqueue-plain.ts`) and the claim behind it (`claim-plain.ts`) write otherwise, but for those tokens. Where
 * anything else lies in the backlog or the queue is not to be claimed from, every job goes there, and none is given.
 *
 * A job of another commit that is not to be seen yet may be older: so it may for a claim.
 */
import { sql } from 'drizzle-orm';
import type { ClaimedJob, EnqueueItem, EnqueueOutcome, Handed, Offer } from '../../engine/ports/repository.ts';
import { clockOfQueues } from '../clock.ts';
import type { Run } from '../database.ts';
import { isDuplicateKey } from '../driver-error.ts';
import type { KnownRecords } from '../known-records.ts';
import { instant, instantOrNull, int, int8, jobId, type Row } from '../row.ts';
import { SORTED } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import { placesOf } from '../workers/claim.ts';
import { dispatchOrder } from '../workers/claim-share.ts';
import { firstFence, firstLeases, firstTry, isOpen, leaseColumns, slotColumns, type SlotParam, type Wish } from '../workers/first-claim.ts';
import { freshJob } from './enqueue-many.ts';
import { enqueuedJournal, input, newRecords, newTokens, openBatch, type PlainParam, plainValues } from './enqueue-plain.ts';

const enqueueHandedStatement = statement<PlainParam | SlotParam>(
  'enqueue-handed',
  sql`with ${clockOfQueues}, ${openBatch},
q as materialized (
  select t.*, t.kind > ${SORTED.none} as sorted, ${firstFence} as fence, ${isOpen}
      and not exists (select from stint.ready r where r.shard = ${shard} and r.queue_id = ${param('queueId')}::int) as gives
    from open cross join c cross join lateral (
      select id, namespace, mode, status, max_attempts, lease_duration_ms, lease_grace_ms, sorted as kind from stint.queue
       where shard = ${shard} and id = ${param('queueId')}::int offset 0) t),
${input}, ${newRecords},
taken as materialized (
  select t.* from q cross join lateral (
    select id as job, rank, drawn as ord, size, start_ms, run_ms, c.now + close_ms * interval '1 millisecond' as life_until, null::text as fair_key
      from i cross join c) t
   where q.gives order by ${dispatchOrder(sql`t`)} limit ${param('wanted')}::int),
${newTokens(sql` where not exists (select from taken t where t.job = i.id)`)},
${enqueuedJournal},
${firstLeases(sql` cross join (select count(*) from e) told_before`)}
select q.max_attempts, q.lease_duration_ms, q.fence, c.now, w.*
  from q cross join c left join (select x.n, x.slot, x.job, ${leaseColumns} from given x cross join c) w on true order by w.n`,
);

export interface HandedParts {
  readonly run: Run;
  readonly now: string | null;
  /** Gains those of the jobs that are given. */
  readonly records: KnownRecords;
}

/** Null where the statement is not for these, as for `enqueuePlain`: nothing was done. */
export async function enqueueHanded(
  { run, now, records }: HandedParts,
  items: readonly EnqueueItem[],
  { slots, channel }: Offer,
): Promise<Handed | null> {
  const queue = items[0]?.queue;
  if (queue === undefined) return null;
  const wish: Wish = { queue, slots, slotOf: placesOf(slots), channel };
  const rows = await run(enqueueHandedStatement, { ...plainValues(now, items), ...slotColumns(wish) }).catch((error: unknown) => {
    if (isDuplicateKey(error)) return [];
    throw error;
  });
  const [first] = rows;
  if (first === undefined) return null;
  const jobs = new Map(
    items.map((item) => {
      const maxAttempts = item.spec.retry.maxAttempts ?? int(first, 'max_attempts');
      return [item.jobId, { item, job: freshJob(item, { scheduled: false, createdAt: instant(first, 'now'), maxAttempts }) }];
    }),
  );
  const given: ClaimedJob[][] = slots.map(() => []);
  for (const row of rows) {
    if (row['n'] === null) continue;
    const place = int(row, 'slot') - 1;
    const [slot, found] = [slots[place], jobs.get(jobId(row, 'job'))];
    if (slot === undefined || found === undefined) throw new Error('the database gave what was not sent');
    const claimed = firstTry(found.job, slot, { ...tryOf(row), payload: found.item.spec.payload });
    given[place]?.push(claimed);
    records.add(slot, { record: claimed.job, maxAttempts: found.item.spec.retry.maxAttempts });
  }
  const outcomes = [...jobs.values()].map(({ job }): EnqueueOutcome => ({ kind: 'enqueued', job }));
  return { outcomes, given: { jobs: given, limits: [] } };
}

function tryOf(row: Row) {
  return {
    now: instant(row, 'now'),
    fence: int8(row, 'fence'),
    leaseDurationMs: int(row, 'lease_duration_ms'),
    until: instantOrNull(row, 'until'),
    ttlMs: int(row, 'ttl_ms'),
  };
}
