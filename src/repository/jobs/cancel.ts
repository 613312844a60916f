import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { isTerminal } from '../../domain/job.ts';
import type { CancelOutcome, ReasonItem } from '../../engine/ports/repository.ts';
import { textArray } from '../array.ts';
import { clock } from '../clock.ts';
import { endedWaiting } from '../ended-waiting.ts';
import { live } from '../held-leases.ts';
import { int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { EVERYWHERE, takeWaiting, waiting } from '../tokens.ts';
import { type Operation, type OperateParam, operateValues } from './operate.ts';

/**
 * Cancel: a job that waits ends at once; of one that is held the lease is marked with the time by which its holder must have stopped,
 * once. Each is found by key, whatever lies beside it.
 */
const cancelStatement = statement<OperateParam | 'reasons'>(
  'cancel',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('reasons')}::text[])
        as i(n, namespace, job, reason)),
  ${waiting(EVERYWHERE)},
  ${takeWaiting},
  z as materialized (
    select w.*, ${EVENT_CODES.cancelled} as ended_type, jsonb_build_object('m', i.reason) as detail, null::jsonb as failure, null::bytea as result,
        null::text as result_content_type
      from w cross join lateral (select reason from i where i.n = w.n) i),
  ${endedWaiting},
  l as materialized (
    select i.n, i.reason, h.*, least(c.now + q.cancellation_budget_ms * interval '1 millisecond', h.run_until, h.life_until) as deadline
      from i cross join c
      cross join lateral (
        select * from stint.lease l where l.shard = ${shard} and l.job = i.job and l.namespace = i.namespace and l.cancel_deadline is null
           and ${live} for update) h
      cross join lateral (select * from stint.queue where shard = ${shard} and id = h.queue_id offset 0) q),
  marked as (
    update stint.lease x set cancel_deadline = l.deadline, until = least(x.until, l.deadline), seq = x.seq + 1
      from l where x.shard = ${shard} and x.job = l.job and x.job = any(array(select job from l))),
  told as materialized (
    select l.*, jsonb_build_object('m', reason, 'r', (extract(epoch from deadline) * 1000000)::bigint,
        's', case when started_at is null then 'LEASED' else 'RUNNING' end)::text as detail from l),
  h as (
    insert into stint.job_event (shard, job, seq, type, at, life, attempt, fence, worker, detail)
    select ${shard}, job, seq + 1, ${EVENT_CODES.cancel_requested}, c.now, life, attempt, fence, worker, detail from told cross join c),
  le as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, details)
    select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.cancel_requested}), array_agg(job), array_agg(seq + 1), array_agg(queue_id),
        array_agg(life), array_agg(attempt), array_agg(fence), array_agg(worker), array_agg(detail)
      from told cross join c group by c.epoch, c.now)
  select n from z union all select n from l`,
);

export const cancelling: Operation<ReasonItem, CancelOutcome> = {
  rpc: 'CancelJob',
  apply: async (run, now, items) => {
    const rows = await run(cancelStatement, { now, ...operateValues(items), reasons: textArray(items.map(({ item }) => item.reason)) });
    return { changed: new Set(rows.map((row) => int(row, 'n'))) };
  },
  conclude: (job, _item, isDone) => {
    if (isTerminal(job.state)) return isDone && job.state === 'CANCELLED' ? 'CANCELLED' : 'ALREADY_TERMINAL';
    return job.asked?.cancelRequestedAt === undefined || job.asked.cancelRequestedAt === null ? null : 'CANCEL_REQUESTED';
  },
};
