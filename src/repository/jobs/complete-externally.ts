import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { isTerminal } from '../../domain/job.ts';
import type { ChangeOutcome, CompleteItem } from '../../engine/ports/repository.ts';
import { byteaArray, plainArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import { evidenceJson } from '../detail.ts';
import { endedWaiting } from '../ended-waiting.ts';
import { bool, failureJson, int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { DEFERRED, PARKED, takeWaiting, waiting } from '../tokens.ts';
import { invalid, type Operation, type OperateParam, operateValues } from './operate.ts';
import { position } from './position.ts';

/** The external owner ends the life of a job that nobody here may claim. The same end told again by the same authority is no other. */
const completeStatement = statement<OperateParam | 'types' | 'details' | 'failures' | 'results' | 'contentTypes'>(
  'complete-externally',
  sql`with ${clock},
  i as materialized (
    select * from unnest(${param('n')}::int[], ${param('namespaces')}::text[], ${param('jobs')}::uuid[], ${param('types')}::smallint[],
        ${param('details')}::text[], ${param('failures')}::text[], ${param('results')}::bytea[], ${param('contentTypes')}::text[])
        as i(n, namespace, job, type, detail, failure, result, content_type)),
  ${waiting({ deferred: sql`d.kind = ${DEFERRED.scheduledExternal}`, parked: sql`k.kind = ${PARKED.external}` })},
  ${takeWaiting},
  z as materialized (
    select w.*, i.type as ended_type, i.detail::jsonb as detail, i.failure::jsonb as failure, i.result, i.content_type as result_content_type
      from w cross join lateral (select * from i where i.n = w.n) i),
  ${endedWaiting}
  select n, false as repeated, dead_lettered from v
  union all
  select i.n, true, false from i
    cross join lateral (select * from stint.job where shard = ${shard} and id = i.job and namespace = i.namespace offset 0) j
    ${position}
    cross join lateral (select * from stint.terminal where shard = ${shard} and job = i.job order by life desc limit 1) t
   where t.life >= coalesce(p.event_life, 1) and t.type = i.type and t.detail::jsonb - 'd' = i.detail::jsonb and t.result is not distinct from i.result
     and t.result_content_type is not distinct from i.content_type and i.n not in (select n from z)`,
);

export const completing: Operation<CompleteItem, ChangeOutcome> = {
  rpc: 'CompleteExternally',
  apply: async (run, now, items) => {
    const each = items.map(({ item }) => item);
    const rows = await run(completeStatement, {
      now,
      ...operateValues(items),
      types: plainArray(each.map((item) => EVENT_CODES[EVENTS[item.completion.kind]])),
      details: textArray(each.map(detailOf)),
      failures: textArray(
        each.map(({ completion }) => (completion.kind === 'failure' ? JSON.stringify(failureJson(completion.failure)) : null)),
      ),
      results: byteaArray(each.map(({ completion }) => (completion.kind === 'success' ? completion.result : null))),
      contentTypes: textArray(each.map(({ completion }) => (completion.kind === 'success' ? completion.contentType : null))),
    });
    const of = (repeated: boolean) => new Set(rows.filter((row) => bool(row, 'repeated') === repeated).map((row) => int(row, 'n')));
    const deadLettered = new Set(rows.filter((row) => bool(row, 'dead_lettered')).map((row) => int(row, 'n')));
    return { changed: of(false), repeated: of(true), deadLettered };
  },
  conclude: (job, _item, isDone) => {
    if (isDone) return 'CHANGED';
    return job.disposition !== 'EXTERNALLY_OWNED' || isTerminal(job.state) ? invalid(job, 'complete_externally') : null;
  },
};

const EVENTS = { success: 'succeeded', failure: 'failed', cancellation: 'cancelled' } as const;

function detailOf({ completion, evidence }: CompleteItem): string {
  return JSON.stringify({
    e: evidenceJson(evidence),
    ...(completion.kind === 'failure' ? { f: failureJson(completion.failure) } : {}),
    ...(completion.kind === 'cancellation' ? { m: completion.reason } : {}),
  });
}
