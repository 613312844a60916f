/**
 * Enqueue: key, record, token and journal in one statement. What does not come back was there already, by key or by
 * id: the next statement looks, because this one cannot see what others committed while it waited for them.
 */
import { sql } from 'drizzle-orm';
import type { Refusal } from '../../domain/error.ts';
import { EVENT_CODES } from '../../domain/event.ts';
import { DISPOSITION_CODES, type Micros } from '../../domain/job.ts';
import type { EnqueueItem } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clockOfQueues, epochsOf } from '../clock.ts';
import type { Run } from '../database.ts';
import { enqueuedDetail } from '../detail.ts';
import { instant, instantLiteral, int, type Row } from '../row.ts';
import { param, shard, statement, type Value } from '../statement.ts';
import { closedBy } from '../closed-queue.ts';
import { counted, drainRate, isDraining, lockedGates, queued, room } from '../gates.ts';
import { moves } from '../moves.ts';
import { positionAt, positions } from '../positions.ts';
import { touchedSlots } from '../slots.ts';
import { sortedBy } from '../sorted-queues.ts';
import { type RecordParam, recordColumns } from './enqueue-columns.ts';
import { carried, DEFERRED, intoReady, readyOrBlocked } from '../tokens.ts';

/**
 * The queues of the batch, and of those with a gate how many more each lets in. Gates are locked before anything is written: of two who
 * would fill the last place the second sees it taken.
 */
const queues = sql`${lockedGates(sql`${param('queueIds')}::int[]`)},
qs as materialized (
  select q.id, q.max_attempts, ${isDraining} as draining, gl.max_queued, ${queued} as depth, ${room} as room, ${drainRate} as rate
    from (select distinct unnest(${param('queueIds')}::int[]) as id) t cross join c
    cross join lateral (select * from stint.queue where shard = ${shard} and id = t.id offset 0) q
    left join gl on gl.queue_id = q.id),
shut as materialized (
  select p.n from (
      select b.n, qs.draining, qs.room, row_number() over (partition by b.queue_id order by b.n) as place
        from qs cross join lateral (
          select b.n, b.queue_id from unnest(${param('n')}::int[], ${param('queueIds')}::int[]) as b(n, queue_id) where b.queue_id = qs.id) b
       where qs.draining or qs.room is not null) p
   where p.draining or p.place > p.room)`;

/**
 * The row of `item` in the batch, in arrival order: `drawn` rises in it, so a batch is FIFO in itself. The transaction has its id
 * before it draws one: who knows that all transactions before some id have ended knows that none of them brings a position any more.
 */
const input = sql`x as materialized (select pg_current_xact_id() as xid),
i as materialized (
  select b.*, case when b.run_at > c.now then null else nextval('stint.job_ord') end as drawn, row_number() over ()::int as place
    from x, c, (select * from unnest(
      ${param('n')}::int[], ${param('ids')}::uuid[], ${param('clientMinted')}::boolean[], ${param('namespaces')}::text[],
      ${param('queueIds')}::int[], ${param('types')}::text[], ${param('ranks')}::bigint[], ${param('runAts')}::timestamptz[],
      ${param('digests')}::bytea[], ${param('contentTypes')}::text[], ${param('headers')}::text[], ${param('labels')}::text[],
      ${param('keys')}::text[], ${param('untilTerminal')}::boolean[], ${param('ttlMs')}::bigint[], ${param('sizes')}::int[],
      ${param('maxAttempts')}::int[], ${param('initialBackoffMs')}::bigint[], ${param('multipliers')}::float8[],
      ${param('maxBackoffMs')}::bigint[], ${param('jitters')}::boolean[], ${param('nonRetryableCodes')}::text[],
      ${param('payloads')}::bytea[], ${param('details')}::text[], ${param('scheduledDetails')}::text[], ${param('dispositions')}::smallint[],
      ${param('startMs')}::bigint[], ${param('runMs')}::bigint[], ${param('closeMs')}::bigint[], ${param('lockKeys')}::text[],
      ${param('fairKeys')}::text[])
      as t(n, id, client_minted, namespace, queue_id, type, rank, run_at, digest, content_type, headers, labels, key,
           until_terminal, ttl_ms, size, max_attempts, initial_backoff_ms, multiplier, max_backoff_ms, jitter,
           non_retryable_codes, payload, detail, scheduled_detail, disposition, start_ms, run_ms, close_ms, lock_key, fair_key)
      order by n offset 0) b
   where not b.n = any(array(select n from shut)))`;

/** Who takes a position. A job that is there already would have its fairness key pay for it: known ones take none. */
const draws = sql`draws as materialized (
  select place, queue_id, rank, fair_key, case
      when disposition <> ${DISPOSITION_CODES.EXTERNALLY_OWNED} and (key is null or id in (select job from k)) and case
        when client_minted and fair_key is not null then (select o.id from stint.job o where o.shard = ${shard} and o.id = i.id) end is null
      then drawn end as drawn
    from i)`;

/** Keys in key order and records in id order: opposite orders deadlock. Of equal keys the first in the batch wins. */
const records = sql`k as (
  insert into stint.idem (shard, queue_id, key, job, until_terminal, expires_at)
  select ${shard}, queue_id, key, id, until_terminal, c.now + ttl_ms * interval '1 millisecond' from i, c
   where key is not null
     and not (client_minted and exists (select 1 from stint.job o where o.shard = ${shard} and o.id = i.id))
   order by queue_id, key, n
  on conflict (shard, queue_id, key) do nothing
  returning job),
${draws},
${positions(sql`draws`)},
j as (
  insert into stint.job (shard, id, namespace, queue_id, type, rank, ord, run_at, created_at, digest, content_type, headers,
      labels, idempotency_key, max_attempts, initial_backoff_ms, multiplier, max_backoff_ms, jitter, non_retryable_codes, payload,
      disposition, start_ms, run_ms, close_ms, concurrency_key, fairness_key)
  select ${shard}, id, namespace, queue_id, type, rank, ${positionAt(sql`i`)}, run_at, c.now, digest, content_type,
      coalesce(headers, '{}')::jsonb, coalesce(labels, '{}')::jsonb, key, max_attempts, initial_backoff_ms, multiplier, max_backoff_ms, jitter, non_retryable_codes::text[], payload,
      disposition, start_ms, run_ms, close_ms, lock_key, fair_key
    from i, c
   where key is null or id in (select job from k)
   order by id
  on conflict (shard, id) do nothing
  returning id),
f as materialized (
  select i.*, ${positionAt(sql`i`)} as ord, i.id as job, 1 as life, 0 as attempt, 0::bigint as fence, 1::bigint as seq, 0 as releases, false as checkpointed,
      i.disposition = ${DISPOSITION_CODES.EXTERNALLY_OWNED} as external, c.now + i.close_ms * interval '1 millisecond' as life_until, false as holds
    from i, c where i.id in (select id from j)),
fr as materialized (select f.*, ${readyOrBlocked} as state from f where ord is not null)`;

/** A key won for a record that lost its id meanwhile would point at a stranger: undo, and look again. */
const orphanedKey = sql`o as materialized (
  select stint.retry_statement() from k where job not in (select id from j))`;

const moved = sql`select queue_id, null as was, 'SCHEDULED' as becomes from f where ord is null union all select queue_id, null, state from fr`;

const tokens = sql`${intoReady(sql`fr`, sortedBy(sql`x.type`, sql`x.queue_id`))},
d as (
  insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, ${carried})
  select ${shard}, job, run_at, case when external then ${DEFERRED.scheduledExternal} else ${DEFERRED.scheduled} end, queue_id, rank,
      attempt, fence, life, seq, releases, ${carried} from f where ord is null),
e as (
  insert into stint.journal (shard, epoch, at, types, jobs, queue_ids, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.enqueued} order by n), array_agg(id order by n),
      array_agg(queue_id order by n),
      case when bool_or(detail is not null or ord is null) then array_agg(case when ord is null then scheduled_detail else detail end order by n) end,
      ${moves(moved, { among: ['SCHEDULED', 'BLOCKED', 'READY'] })}
    from f, c group by c.epoch, c.now),
${counted(moved)},
${touchedSlots(sql`select queue_id, lock_key, 0 as held, 0 as ready from fr where state = 'BLOCKED'`)}`;

type EnqueueParam =
  | 'now'
  | 'epochs'
  | 'n'
  | 'clientMinted'
  | 'runAts'
  | 'keys'
  | 'untilTerminal'
  | 'ttlMs'
  | 'details'
  | 'scheduledDetails'
  | 'lockKeys'
  | 'fairKeys'
  | RecordParam;

const enqueueStatement = statement<EnqueueParam>(
  'enqueue',
  sql`with ${clockOfQueues}, ${queues}, ${input}, ${records}, ${orphanedKey}, ${tokens}
  select f.n, f.ord is null as scheduled, c.now as created_at, coalesce(f.max_attempts, q.max_attempts) as max_attempts,
      null::int as queue_id, null::boolean as draining, null::bigint as depth, null::int as max_queued, null::float8 as rate
    from f cross join c cross join lateral (select max_attempts from qs where id = f.queue_id) q
   where not exists (select 1 from o)
  union all
  select null, null, null, null, id, draining, depth, max_queued, rate from qs where draining or room = 0`,
);

/** What the database decided about a fresh job. */
export interface Fresh {
  readonly index: number;
  readonly scheduled: boolean;
  readonly createdAt: Micros;
  readonly maxAttempts: number;
}

export interface Enqueued {
  readonly fresh: readonly Fresh[];
  /** Why a queue takes nothing, by its number. */
  readonly closed: ReadonlyMap<number, Refusal>;
}

/** Enqueues what is new, as far as it is let in, and tells which that was; `items` must name no id twice. */
export async function enqueue(run: Run, now: string | null, items: readonly EnqueueItem[]): Promise<Enqueued> {
  const rows = await run(enqueueStatement, { now, ...columns(items) });
  const names = new Map(items.map(({ queue }) => [queue.id, queue]));
  return {
    fresh: rows.filter((row) => row['n'] !== null).map(parseFresh),
    closed: new Map(
      rows.flatMap((row) => {
        const queue = row['n'] === null ? names.get(int(row, 'queue_id')) : undefined;
        return queue === undefined ? [] : [[queue.id, closedBy(row, queue)]];
      }),
    ),
  };
}

function parseFresh(row: Row): Fresh {
  return {
    index: int(row, 'n'),
    scheduled: row['scheduled'] === true,
    createdAt: instant(row, 'created_at'),
    maxAttempts: int(row, 'max_attempts'),
  };
}

function columns(items: readonly EnqueueItem[]): Record<Exclude<EnqueueParam, 'now'>, Value> {
  const plain = (pick: (item: EnqueueItem) => string | number | boolean | null) => plainArray(items.map(pick));
  const texts = (pick: (item: EnqueueItem) => string | null) => textArray(items.map(pick));
  return {
    epochs: epochsOf(items.map((item) => item.queue)),
    n: plainArray(items.map((_, index) => index)),
    ...recordColumns(items),
    clientMinted: plain((item) => item.spec.jobId !== null),
    runAts: plain((item) => (item.spec.runAt === null ? null : instantLiteral(item.spec.runAt))),
    keys: texts((item) => item.spec.idempotency?.key ?? null),
    untilTerminal: plain((item) => item.spec.idempotency?.scope === 'UNTIL_TERMINAL'),
    ttlMs: plain((item) => item.spec.idempotency?.ttlMs ?? null),
    details: texts(({ spec }) => enqueuedDetail(spec.type, spec.priority, null, spec.concurrencyKey !== '')),
    scheduledDetails: texts(({ spec }) => enqueuedDetail(spec.type, spec.priority, spec.runAt, false)),
    lockKeys: texts(({ spec }) => (spec.concurrencyKey === '' ? null : spec.concurrencyKey)),
    fairKeys: texts((item) => (item.spec.fairnessKey === '' ? null : item.spec.fairnessKey)),
  };
}
