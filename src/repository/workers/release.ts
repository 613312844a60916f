import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { ReleaseItem, ReleaseOutcome } from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { heldLeases, heldValues, type HeldParam } from '../held-leases.ts';
import { jobOfX, jobRecordColumns, parseJobRecord } from '../job-record.ts';
import { bool, int, int8, instantOrNull, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { settleBatch } from './settle-batch.ts';

/**
 * Release: the job goes back to its old position, or waits out its delay; the try is refunded, up to a bound a life.
 * One that is past the bound and has no attempt left stays as it is: it comes back `exhausted`, and its holder fails it.
 */
const releaseStatement = statement<HeldParam | 'delaysMs'>(
  'release',
  sql`with ${clock},
  ${heldLeases({ extraArrays: sql`, ${param('delaysMs')}::bigint[]`, extraColumns: sql`, delay_ms` })},
  b as materialized (
    select m.*, m.releases < ${LIMITS.releasesPerLife} as refunded,
        case when m.delay_ms > 0 then c.now + m.delay_ms * interval '1 millisecond' end as due_at,
        case when m.releases < ${LIMITS.releasesPerLife} then false else m.attempt >= (
          select coalesce(j.max_attempts, q.max_attempts) from stint.job j, stint.queue q
           where j.shard = ${shard} and j.id = m.job and q.shard = ${shard} and q.id = m.queue_id) end as exhausted
      from m cross join c),
  v as materialized (
    select b.*, case when refunded then attempt - 1 else attempt end as left_attempt from b where not exhausted),
  gone as (
    delete from stint.lease where shard = ${shard} and job = any(array(select job from v))),
  a as (
    insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at,
        started_seq, started_at, ended_seq, ended_at, ended_type, due_at, dead_lettered)
    select ${shard}, job, fence, attempt, refunded, life, token, 'release', worker, claimed_seq, claimed_at, started_seq, started_at,
        seq + 1, c.now, ${EVENT_CODES.released}, due_at, false from v cross join c),
  r as (
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed)
    select ${shard}, queue_id, rank, ord, job, left_attempt, fence, life, seq + 1, releases + 1, size, checkpointed
      from v where due_at is null),
  d as (
    insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed)
    select ${shard}, job, due_at, 1, queue_id, rank, left_attempt, fence, life, seq + 1, releases + 1, size, checkpointed
      from v where due_at is not null),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details)
    select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.released}), array_agg(job), array_agg(seq + 1), array_agg(queue_id),
        array_agg(life), array_agg(left_attempt), array_agg(fence), array_agg(worker),
        array_agg(case when due_at is not null then jsonb_build_object('r', (extract(epoch from due_at) * 1000000)::bigint)::text end)
      from v cross join c group by c.epoch, c.now)
  select x.n, x.exhausted, x.life, case when x.refunded then x.attempt - 1 else x.attempt end as attempt, x.fence, x.seq + 1 as seq,
         x.worker, x.started_at, x.due_at, ${jobRecordColumns}
    from b x ${jobOfX}`,
);

export function releaseMany(run: Run, now: string | null, items: readonly ReleaseItem[]): Promise<readonly ReleaseOutcome[]> {
  return settleBatch<ReleaseItem, ReleaseOutcome>(run, now, items, {
    settlement: 'release',
    apply: async (sent) => {
      const rows = await run(releaseStatement, {
        now,
        ...heldValues(sent),
        delaysMs: plainArray(sent.map(({ item }) => item.delayMs)),
      });
      return new Map(rows.map((row) => [int(row, 'n'), released(row)]));
    },
    again: (job) => ({ kind: 'already_applied', job }),
  });
}

function released(row: Row): ReleaseOutcome {
  if (bool(row, 'exhausted')) return { kind: 'exhausted' };
  const record = parseJobRecord(row);
  const dueAt = instantOrNull(row, 'due_at');
  return {
    kind: 'applied',
    job: {
      ...record,
      state: dueAt === null ? 'READY' : 'SCHEDULED',
      runAt: dueAt ?? record.runAt,
      life: int(row, 'life'),
      attempt: int(row, 'attempt'),
      fence: int8(row, 'fence'),
      startedAt: instantOrNull(row, 'started_at'),
      finishedAt: null,
      lastSequence: int(row, 'seq'),
      result: null,
      resultContentType: '',
      failure: null,
      workerId: text(row, 'worker'),
      leaseExpiresAt: null,
    },
  };
}
