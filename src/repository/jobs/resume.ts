import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { ChangeOutcome, ReasonItem } from '../../engine/ports/repository.ts';
import { textArray } from '../array.ts';
import { clock } from '../clock.ts';
import { counted } from '../gates.ts';
import { int } from '../row.ts';
import { param, statement } from '../statement.ts';
import { intoReady, PARKED, takeWaiting, waiting } from '../tokens.ts';
import { invalid, type Operation, type OperateParam, operateValues } from './operate.ts';
import { madeReady } from './made-ready.ts';

/** Resume: a SUSPENDED job becomes READY at a new position. */
const resumeStatement = statement<OperateParam | 'reasons'>(
  'resume',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('reasons')}::text[])
        as i(n, namespace, job, reason)),
  ${waiting({ parked: sql`k.kind = ${PARKED.suspended}` })},
  ${takeWaiting},
  z as materialized (
    select w.n, w.job, w.queue_id, w.rank, nextval('stint.job_ord') as ord, w.attempt, w.fence, w.life, w.seq + 1 as seq, w.releases, w.size,
        w.checkpointed, w.start_ms, w.run_ms, w.life_until, w.external, jsonb_build_object('m', i.reason)::text as detail
      from w cross join lateral (select reason from i where i.n = w.n) i),
  ${intoReady(sql`z`)},
  ${madeReady(EVENT_CODES.resumed)},
  ${counted(sql`select queue_id, 'SUSPENDED' as was, 'READY' as becomes from z`)}
  select n from z`,
);

export const resuming: Operation<ReasonItem, ChangeOutcome> = {
  rpc: 'ResumeJob',
  apply: async (run, now, items) => {
    const rows = await run(resumeStatement, { now, ...operateValues(items), reasons: textArray(items.map(({ item }) => item.reason)) });
    return { changed: new Set(rows.map((row) => int(row, 'n'))) };
  },
  conclude: (job, _item, isDone) => {
    if (isDone) return 'CHANGED';
    return job.state === 'SUSPENDED' ? null : invalid(job, 'resume');
  },
};
