import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { ChangeOutcome, ReasonItem } from '../../engine/ports/repository.ts';
import { textArray } from '../array.ts';
import { clock } from '../clock.ts';
import { counted } from '../gates.ts';
import { moves } from '../moves.ts';
import { positioned } from '../positions.ts';
import { int } from '../row.ts';
import { param, statement } from '../statement.ts';
import { touchedSlots } from '../slots.ts';
import { intoReady, PARKED, taken, takeWaiting, waiting } from '../tokens.ts';
import { invalid, type Operation, type OperateParam, operateValues } from './operate.ts';
import { madeReady } from './made-ready.ts';

const moved = sql`select queue_id, 'SUSPENDED' as was, becomes from z`;

/** Resume: a SUSPENDED job becomes READY at a new position. */
const resumeStatement = statement<OperateParam | 'reasons'>(
  'resume',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('reasons')}::text[])
        as i(n, namespace, job, reason)),
  ${waiting({ parked: sql`k.kind = ${PARKED.suspended}` })},
  ${takeWaiting},
  y as materialized (
    select row_number() over ()::int as place, nextval('stint.job_ord') as drawn, w.n, job, w.queue_id, w.rank, w.attempt, w.fence, w.life, w.seq + 1 as seq, w.releases, w.size,
        w.checkpointed, w.start_ms, w.run_ms, w.life_until, w.fair_key, w.lock_key, w.holds, w.external, jsonb_build_object('m', i.reason) as told
      from ${taken} t join w using (job) cross join lateral (select reason from i where i.n = w.n) i),
  ${positioned},
  ${intoReady(sql`z`)},
  ${madeReady(EVENT_CODES.resumed, moves(moved))},
  ${counted(moved)},
  ${touchedSlots(sql`select queue_id, lock_key, 0 as held, 0 as ready from z`)}
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
