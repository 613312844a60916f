import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { Job } from '../../domain/job.ts';
import { RELEASE_LIMIT } from '../../domain/lease.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { ReleaseItem, SettleOutcome } from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { endedByFailure } from '../ended-by-failure.ts';
import { deleteHeld, heldLeases, heldValues, type HeldParam } from '../held-leases.ts';
import { formerFailureOfX, jobOfX, jobRecordColumns, parseJobRecord, wholeJob } from '../job-record.ts';
import { bool, failureJson, failureOrNull, int, int8, instant, instantOrNull, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { settleBatch } from './settle-batch.ts';

/** CTE `b`: the locked leases with what becomes of each. One past its free releases with no attempt left is exhausted. */
const judged = sql`b as materialized (
  select m.*, m.releases < ${LIMITS.releasesPerLife} as refunded,
      case when m.delay_ms > 0 then c.now + m.delay_ms * interval '1 millisecond' end as back_at,
      case when m.releases < ${LIMITS.releasesPerLife} then false else m.attempt >= (
        select coalesce(j.max_attempts, q.max_attempts) from stint.job j, stint.queue q
         where j.shard = ${shard} and j.id = m.job and q.shard = ${shard} and q.id = m.queue_id) end as exhausted
    from m cross join c)`;

/** Those that go back: to their old position, or to wait out their delay; the try is refunded while the life has free releases. */
const givenBack = sql`g as materialized (
  select b.*, case when refunded then attempt - 1 else attempt end as left_attempt from b where not exhausted),
ga as (
  insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at,
      started_seq, started_at, ended_seq, ended_at, ended_type, due_at, dead_lettered)
  select ${shard}, job, fence, attempt, refunded, life, token, 'release', worker, claimed_seq, claimed_at, started_seq, started_at,
      seq + 1, c.now, ${EVENT_CODES.released}, back_at, false from g cross join c),
gr as (
  insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed)
  select ${shard}, queue_id, rank, ord, job, left_attempt, fence, life, seq + 1, releases + 1, size, checkpointed
    from g where back_at is null),
gd as (
  insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed)
  select ${shard}, job, back_at, 1, queue_id, rank, left_attempt, fence, life, seq + 1, releases + 1, size, checkpointed
    from g where back_at is not null),
ge as (
  insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details)
  select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.released}), array_agg(job), array_agg(seq + 1), array_agg(queue_id),
      array_agg(life), array_agg(left_attempt), array_agg(fence), array_agg(worker),
      array_agg(case when back_at is not null then jsonb_build_object('r', (extract(epoch from back_at) * 1000000)::bigint)::text end)
    from g cross join c group by c.epoch, c.now)`;

/** The exhausted ones fail for good, in the same commit: a job handed round for ever is poison too. */
const exhausted = sql`x as materialized (
  select n, job, token, fence, attempt, life, seq, queue_id, rank, ord, releases, size, checkpointed, worker, claimed_seq, claimed_at,
      started_seq, started_at, f.failure, f.failure ->> 'code' as failure_code, false as retryable, null::bigint as retry_after_ms,
      1::float8 as jitter_factor, 'release' as settlement
    from b cross join (select ${param('failure')}::text::jsonb as failure) f where exhausted)`;

const releaseStatement = statement<HeldParam | 'delaysMs' | 'failure'>(
  'release',
  sql`with ${clock},
  ${heldLeases({ extraArrays: sql`, ${param('delaysMs')}::bigint[]`, extraColumns: sql`, delay_ms` })},
  ${judged},
  ${deleteHeld},
  ${givenBack},
  ${exhausted},
  ${endedByFailure(sql`x`)}
  select x.n, x.exhausted, x.life, case when x.refunded then x.attempt - 1 else x.attempt end as attempt, x.fence, x.seq + 1 as seq,
         x.worker, x.started_at, x.back_at, c.now as ended_at, ${jobRecordColumns}, ${formerFailureOfX}
    from b x cross join c ${jobOfX}`,
);

export function releaseMany(run: Run, now: string | null, items: readonly ReleaseItem[]): Promise<readonly SettleOutcome[]> {
  return settleBatch<ReleaseItem, SettleOutcome>(run, now, items, {
    settlement: 'release',
    apply: async (sent) => {
      const rows = await run(releaseStatement, {
        now,
        ...heldValues(sent),
        delaysMs: plainArray(sent.map(({ item }) => item.delayMs)),
        failure: JSON.stringify(failureJson(RELEASE_LIMIT)),
      });
      return new Map(rows.map((row) => [int(row, 'n'), released(row)]));
    },
    again: (job) => ({ kind: 'already_applied', job }),
  });
}

function released(row: Row): SettleOutcome {
  const record = parseJobRecord(row);
  return {
    kind: 'applied',
    job: wholeJob(record, {
      ...endOf(row, record.runAt),
      life: int(row, 'life'),
      attempt: int(row, 'attempt'),
      fence: int8(row, 'fence'),
      startedAt: instantOrNull(row, 'started_at'),
      lastSequence: int(row, 'seq'),
      result: null,
      resultContentType: '',
      workerId: text(row, 'worker'),
      leaseExpiresAt: null,
    }),
  };
}

function endOf(row: Row, runAt: Job['runAt']): Pick<Job, 'state' | 'runAt' | 'finishedAt' | 'failure'> {
  if (bool(row, 'exhausted')) return { state: 'FAILED', runAt, finishedAt: instant(row, 'ended_at'), failure: RELEASE_LIMIT };
  const backAt = instantOrNull(row, 'back_at');
  const failure = failureOrNull(row, 'former_failure');
  return { state: backAt === null ? 'READY' : 'SCHEDULED', runAt: backAt ?? runAt, finishedAt: null, failure };
}
