import { sql } from 'drizzle-orm';
import type { Refusal } from '../../domain/error.ts';
import { EVENT_CODES } from '../../domain/event.ts';
import { DISPOSITION_CODES } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { ChangeOutcome, ReasonItem } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import type { Placed } from '../held-leases.ts';
import { closedBy } from '../closed-queue.ts';
import { counted, drainRate, isDraining, lockedGates, queued, room } from '../gates.ts';
import { moves } from '../moves.ts';
import { positioned } from '../positions.ts';
import { int, jobId, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { touchedSlots } from '../slots.ts';
import { intoReady } from '../tokens.ts';
import { madeReady } from './made-ready.ts';
import { type Applied, invalid, type Operation, type OperateParam, operateValues } from './operate.ts';
import { position as positionOfJ } from './position.ts';

/** A new life adds to what waits: gates come first, as in an enqueue. */
const gatesOfJobsStatement = statement<'jobs'>(
  'gates-of-jobs',
  sql`select distinct g.queue_id from unnest(${param('jobs')}::uuid[]) as i(job)
    cross join lateral (select queue_id from stint.job where shard = ${shard} and id = i.job offset 0) j
    cross join lateral (select queue_id from stint.gate where shard = ${shard} and queue_id = j.queue_id offset 0) g`,
);

const lockGatesStatement = statement<'queueIds'>(
  'lock-gates',
  sql`with ${lockedGates(sql`${param('queueIds')}::int[]`)} select queue_id from gl`,
);

/** Nothing of an ended job moves, so the record itself is locked: of two who retry it the second sees the new life. */
const lockRecordsStatement = statement<'jobs'>(
  'lock-records',
  sql`select id from stint.job where shard = ${shard} and id = any(${param('jobs')}::uuid[]) order by id for update`,
);

/** The holders of the jobs' keys: whoever frees or takes one waits. */
const lockKeysStatement = statement<'jobs'>(
  'lock-keys',
  sql`select m.key from unnest(${param('jobs')}::uuid[]) as i(job)
    cross join lateral (select * from stint.job where shard = ${shard} and id = i.job and idempotency_key is not null offset 0) j
    cross join lateral (
      select * from stint.idem where shard = ${shard} and queue_id = j.queue_id and key = j.idempotency_key for update) m
   order by m.queue_id, m.key`,
);

/** True where the job that holds key `m` has ended, is pruned, or has held it long enough. */
const isFree = sql`coalesce(m.expires_at <= c.now, false)
  or exists (select 1 from stint.terminal t where t.shard = ${shard} and t.job = m.job and t.life >= m.life)
  or not exists (select 1 from stint.job o where o.shard = ${shard} and o.id = m.job)`;

const moved = sql`select queue_id, null as was, becomes, job in (select job from replayed) as replayed from z`;

/**
 * Retry: a new life of a job that is FAILED or CANCELLED, with fresh attempts, at a new position, with the checkpoint it left. It
 * holds its key again, unless another live job does. Where a life is named, only that one is followed by another. Whoever asks for the
 * new life, the dead letter of the old one is replayed by it.
 */
const retryStatement = statement<OperateParam | 'lives' | 'reasons' | 'gates'>(
  'retry',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('lives')}::int[],
        ${param('reasons')}::text[]) as i(n, namespace, job, life, reason)),
  found as materialized (
    select i.n, i.job, i.reason, j.queue_id, j.idempotency_key as key, p.rank, t.fence, t.life + 1 as life, t.seq + 1 as seq,
        j.concurrency_key as lock_key, false as holds, j.start_ms, j.run_ms, j.fairness_key as fair_key,
        c.now + j.close_ms * interval '1 millisecond' as life_until,
        j.disposition = ${DISPOSITION_CODES.EXTERNALLY_OWNED} as external, k.checkpointed,
        length(j.payload) + 3 * (octet_length(j.headers::text) + octet_length(j.labels::text)) + 512
          + case when k.checkpointed then ${LIMITS.checkpointBytes} else 0 end as size,
        row_number() over (partition by j.queue_id, j.idempotency_key order by i.job) as turn
      from i cross join c
      cross join lateral (select * from stint.job where shard = ${shard} and id = i.job and namespace = i.namespace offset 0) j
      ${positionOfJ}
      cross join lateral (select * from stint.terminal where shard = ${shard} and job = i.job order by life desc limit 1) t
      cross join lateral (select exists (select 1 from stint.checkpoint where shard = ${shard} and job = i.job) as checkpointed) k
     where t.life >= coalesce(p.event_life, 1) and t.life = coalesce(i.life, t.life)
       and t.type in (${EVENT_CODES.failed}, ${EVENT_CODES.cancelled})),
  qs as materialized (
    select q.id, q.namespace, q.name, ${isDraining} as draining, gl.max_queued, ${queued} as depth, ${room} as room, ${drainRate} as rate
      from (select distinct queue_id as id from found) t cross join c
      cross join lateral (select * from stint.queue where shard = ${shard} and id = t.id offset 0) q
      left join stint.gate gl on gl.shard = ${shard} and gl.queue_id = q.id
     where gl.queue_id is null or gl.queue_id = any(${param('gates')}::int[])),
  ended as materialized (
    select p.* from (
        select f.*, row_number() over (partition by f.queue_id order by f.job) as place from found f where f.key is null or f.turn = 1) p
      join qs on qs.id = p.queue_id where not qs.draining and (qs.room is null or p.place <= qs.room)
     order by p.job),
  held as materialized (
    select e.n, m.job as holder, m.job = e.job or ${isFree} as ours
      from ended e cross join c
      cross join lateral (select * from stint.idem where shard = ${shard} and queue_id = e.queue_id and key = e.key offset 0) m),
  kept as (
    update stint.idem m set job = e.job, life = e.life from ended e
     where m.shard = ${shard} and m.queue_id = e.queue_id and m.key = e.key and e.n in (select n from held where ours)),
  taken as (
    insert into stint.idem (shard, queue_id, key, job, until_terminal, life)
    select ${shard}, queue_id, key, job, false, life from ended
     where key is not null and n not in (select n from held) order by queue_id, key
    on conflict (shard, queue_id, key) do nothing
    returning job),
  y as materialized (
    select row_number() over ()::int as place, nextval('stint.job_ord') as drawn, e.n, e.job, e.queue_id, e.rank, 0 as attempt, e.fence, e.life, e.seq, 0 as releases, e.size,
        e.checkpointed, e.start_ms, e.run_ms, e.life_until, e.fair_key, e.lock_key, e.holds, e.external, jsonb_build_object('m', e.reason) as told
      from ended e where e.key is null or e.n in (select n from held where ours) or e.job in (select job from taken)),
  ${positioned},
  replayed as (
    update stint.dead_letter d set replayed_at = c.now from z cross join c
     where d.shard = ${shard} and d.job = any(array(select job from z)) and d.job = z.job and d.life = z.life - 1
    returning d.job),
  ${intoReady(sql`z`)},
  ${madeReady(EVENT_CODES.retried, moves(moved, { dead: sql`case when t.replayed then -1 else 0 end` }))},
  ${counted(moved)},
  ${touchedSlots(sql`select queue_id, lock_key, 0 as held, 0 as ready from z`)}
  select n, null::uuid as holder, null::text as namespace, null::text as name, null::boolean as draining, null::bigint as depth,
      null::int as max_queued, null::float8 as rate from z
  union all select n, holder, null, null, null, null, null, null from held where not ours
  union all select f.n, null, qs.namespace, qs.name, qs.draining, qs.depth, qs.max_queued, qs.rate
    from found f join qs on qs.id = f.queue_id where (qs.draining or qs.room is not null) and f.turn = 1 and f.n not in (select n from ended)`,
);

/** `life` is the one that is to be followed by another; null: whichever ended last. */
export async function retryEach(
  run: Run,
  now: string | null,
  items: readonly Placed<ReasonItem & { readonly life: number | null }>[],
): Promise<Applied> {
  const values = operateValues(items);
  const gates = (await run(gatesOfJobsStatement, { jobs: values.jobs })).map((row) => int(row, 'queue_id'));
  if (gates.length > 0) await run(lockGatesStatement, { queueIds: plainArray(gates) });
  await run(lockRecordsStatement, { jobs: values.jobs });
  await run(lockKeysStatement, { jobs: values.jobs });
  const rows = await run(retryStatement, {
    now,
    ...values,
    // A gate that was opened since is not locked: a job of its queue is left for the next round.
    gates: plainArray(gates),
    lives: plainArray(items.map(({ item }) => item.life)),
    reasons: textArray(items.map(({ item }) => item.reason)),
  });
  const refused = new Map(rows.flatMap((row) => refusalOf(row).map((refusal) => [int(row, 'n'), refusal])));
  return { changed: new Set(rows.map((row) => int(row, 'n')).filter((n) => !refused.has(n))), refused };
}

/** At most one. */
function refusalOf(row: Row): readonly Refusal[] {
  if (row['holder'] !== null) return [{ kind: 'duplicate_job', jobId: jobId(row, 'holder') }];
  return row['name'] === null ? [] : [closedBy(row, { namespace: text(row, 'namespace'), name: text(row, 'name') })];
}

export const retrying: Operation<ReasonItem, ChangeOutcome> = {
  rpc: 'RetryJob',
  apply: (run, now, items) =>
    retryEach(
      run,
      now,
      items.map(({ item, position }) => ({ item: { ...item, life: null }, position })),
    ),
  conclude: (job, _item, isDone) => {
    if (isDone) return 'CHANGED';
    return job.state === 'FAILED' || job.state === 'CANCELLED' ? null : invalid(job, 'retry');
  },
};
