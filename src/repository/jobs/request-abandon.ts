import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { isTerminal } from '../../domain/job.ts';
import type { AbandonOutcome, ReasonItem } from '../../engine/ports/repository.ts';
import { textArray } from '../array.ts';
import { clock } from '../clock.ts';
import { int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { expireThese } from '../upkeep/expire-leases.ts';
import { invalid, type Operation, type OperateParam, operateValues } from './operate.ts';

/** A durable mark on the life of a held job: its event. The first one stays. */
const requestAbandonStatement = statement<OperateParam | 'reasons'>(
  'request-abandon',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('reasons')}::text[])
        as i(n, namespace, job, reason)),
  l as materialized (
    select i.n, h.*, jsonb_build_object('m', i.reason, 's', case when h.started_at is null then 'LEASED' else 'RUNNING' end)::text as detail
      from i cross join lateral (
        select * from stint.lease l where l.shard = ${shard} and l.job = i.job and l.namespace = i.namespace for update) h
     where not exists (
       select 1 from stint.job_event e where e.shard = ${shard} and e.job = i.job and e.life = h.life and e.type = ${EVENT_CODES.abandon_requested})),
  marked as (
    update stint.lease set seq = seq + 1 where shard = ${shard} and job = any(array(select job from l))),
  h as (
    insert into stint.job_event (shard, job, seq, type, at, life, attempt, fence, worker, detail)
    select ${shard}, job, seq + 1, ${EVENT_CODES.abandon_requested}, c.now, life, attempt, fence, worker, detail from l cross join c),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details)
    select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.abandon_requested}), array_agg(job), array_agg(seq + 1), array_agg(queue_id),
        array_agg(life), array_agg(attempt), array_agg(fence), array_agg(worker), array_agg(detail)
      from l cross join c group by c.epoch, c.now)
  select n from l`,
);

export const abandoning: Operation<ReasonItem, AbandonOutcome> = {
  rpc: 'RequestAbandon',
  apply: async (run, now, items) => {
    const rows = await run(requestAbandonStatement, {
      now,
      ...operateValues(items),
      reasons: textArray(items.map(({ item }) => item.reason)),
    });
    // Where the lease has ended before, nothing is left to wait for.
    await expireThese(
      run,
      now,
      items.map(({ item }) => item.jobId),
    );
    return { changed: new Set(rows.map((row) => int(row, 'n'))) };
  },
  conclude: (job, _item, isDone) => {
    if (isTerminal(job.state)) return isDone && job.state === 'ABANDONED' ? 'ABANDONED' : 'ALREADY_TERMINAL';
    if (job.state !== 'LEASED' && job.state !== 'RUNNING') return invalid(job, 'request_abandon');
    return job.asked?.abandonRequestedAt === undefined || job.asked.abandonRequestedAt === null ? null : 'ABANDON_REQUESTED';
  },
};
