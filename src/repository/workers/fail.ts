import { sql } from 'drizzle-orm';
import type { Job } from '../../domain/job.ts';
import type { FailItem, FailOutcome } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { endedTry, freedByEndedTry, movedByEndedTry } from '../ended-try.ts';
import { counted } from '../gates.ts';
import { cancelledIfAsked, deleteHeld, heldLeases, heldValues, started, type HeldParam } from '../held-leases.ts';
import { toldOfX, askedOrNull, jobOfX, jobRecordColumns, parseJobRecord, wholeJob } from '../job-record.ts';
import { failureJson, instantLiteral, int, int8, instant, instantOrNull, text, type Row } from '../row.ts';
import { param, statement } from '../statement.ts';
import { touchedSlots } from '../slots.ts';
import { settleBatch } from './settle-batch.ts';
import { parseDecision } from './settled.ts';

const failStatement = statement<HeldParam | 'failures' | 'codes' | 'retryables' | 'retryAfterMs' | 'throttles' | 'jitterFactors'>(
  'fail',
  sql`with ${clock},
  ${heldLeases({
    extraArrays: sql`, ${param('failures')}::text[], ${param('codes')}::text[], ${param('retryables')}::boolean[],
      ${param('retryAfterMs')}::bigint[], ${param('jitterFactors')}::float8[], ${param('throttles')}::timestamptz[]`,
    extraColumns: sql`, failure_text, failure_code, retryable, retry_after_ms, jitter_factor, told_throttle`,
    condition: started,
    derived: sql`, i.failure_text::jsonb as failure, case when i.told_throttle is not null then least(i.told_throttle, c.now + interval '24 hours') end as throttle_until, 'fail' as settlement, ${cancelledIfAsked} as fate`,
  })},
  ${deleteHeld},
  ${endedTry(sql`m`)},
  ${counted(movedByEndedTry)},
  ${touchedSlots(freedByEndedTry, sql`t.throttle_until`)}
  select x.n, x.life, x.attempt, x.fence, x.seq + 1 as seq, x.worker, x.started_at, c.now as finished_at, x.due_at, x.dead_lettered,
         x.ended_type, x.rank as x_rank, ${jobRecordColumns}, ${toldOfX}
    from v x cross join c ${jobOfX}`,
);

export function failMany(run: Run, now: string | null, items: readonly FailItem[]): Promise<readonly FailOutcome[]> {
  return settleBatch<FailItem, FailOutcome>(run, now, items, {
    settlement: 'fail',
    apply: async (sent) => {
      const rows = await run(failStatement, {
        now,
        ...heldValues(sent),
        failures: textArray(sent.map(({ item }) => JSON.stringify(failureJson(item.failure)))),
        codes: textArray(sent.map(({ item }) => item.failure.code)),
        retryables: plainArray(sent.map(({ item }) => item.failure.kind === 'RETRYABLE')),
        retryAfterMs: plainArray(sent.map(({ item }) => item.retryAfterMs)),
        throttles: plainArray(
          sent.map(({ item: { throttleUntil = null } }) => (throttleUntil === null ? null : instantLiteral(throttleUntil))),
        ),
        jitterFactors: plainArray(sent.map(({ item }) => item.jitterFactor)),
      });
      return new Map(rows.map((row) => [int(row, 'n'), failed(row, items[int(row, 'n')])]));
    },
    again: (job, decision) => ({ kind: 'already_applied', job, decision }),
  });
}

function failed(row: Row, item: FailItem | undefined): FailOutcome {
  if (item === undefined) throw new Error('the database failed an item that was not sent');
  const decision = parseDecision(row);
  const record = parseJobRecord(row);
  const ended: Pick<Job, 'state' | 'runAt' | 'finishedAt'> =
    decision.kind === 'retry_scheduled'
      ? { state: 'RETRY_WAIT', runAt: decision.retryAt, finishedAt: null }
      : {
          state: decision.kind === 'cancelled' ? 'CANCELLED' : 'FAILED',
          runAt: record.runAt,
          finishedAt: instant(row, 'finished_at'),
        };
  return {
    kind: 'applied',
    decision,
    job: wholeJob(record, {
      ...ended,
      priority: Number(-int8(row, 'x_rank')),
      life: int(row, 'life'),
      attempt: int(row, 'attempt'),
      fence: int8(row, 'fence'),
      startedAt: instantOrNull(row, 'started_at'),
      lastSequence: int(row, 'seq'),
      result: null,
      resultContentType: '',
      failure: item.failure,
      workerId: text(row, 'worker'),
      leaseExpiresAt: null,
      asked: askedOrNull(row),
    }),
  };
}
