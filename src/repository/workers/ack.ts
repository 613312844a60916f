import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { AckItem, SettleOutcome } from '../../engine/ports/repository.ts';
import { byteaArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import type { InVain } from '../in-vain.ts';
import type { KnownRecords } from '../known-records.ts';
import { counted, heldState } from '../gates.ts';
import { deleteHeld, heldLeases, heldValues, started, type HeldParam, type Placed } from '../held-leases.ts';
import { toldOfX, askedOrNull, jobOfX, jobRecordColumns, parseJobRecord, wholeJob } from '../job-record.ts';
import { moves } from '../moves.ts';
import { int, int8, instant, instantOrNull, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { freedBy, touchedSlots } from '../slots.ts';
import { ackPlain } from './ack-plain.ts';
import { settleBatch } from './settle-batch.ts';

const moved = sql`select queue_id, ${heldState(sql`m`)} as was, null as becomes from m`;

/** Ack: the lease goes, the try and the life end, the journal tells it. */
const ackStatement = statement<HeldParam | 'results' | 'contentTypes'>(
  'ack',
  sql`with ${clock},
  ${heldLeases({
    extraArrays: sql`, ${param('results')}::bytea[], ${param('contentTypes')}::text[]`,
    extraColumns: sql`, result, content_type`,
    condition: started,
  })},
  ${deleteHeld},
  a as (
    insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at,
        started_seq, started_at, ended_seq, ended_at, ended_type, dead_lettered)
    select ${shard}, job, fence, attempt, false, life, token, 'ack', worker, claimed_seq, claimed_at, started_seq,
        started_at, seq + 1, c.now, ${EVENT_CODES.succeeded}, false from m cross join c),
  t as (
    insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at, result, result_content_type)
    select ${shard}, job, life, seq + 1, ${EVENT_CODES.succeeded}, attempt, fence, c.now, result, content_type from m cross join c),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, moves)
    select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.succeeded}), array_agg(job), array_agg(seq + 1), array_agg(queue_id),
        array_agg(life), array_agg(attempt), array_agg(fence), array_agg(worker), ${moves(moved, { among: ['BLOCKED', 'READY', 'LEASED', 'RUNNING'] })}
      from m cross join c group by c.epoch, c.now),
  ${counted(moved)},
  ${touchedSlots(freedBy(sql`m`))}
  select x.n, x.life, x.attempt, x.fence, x.seq + 1 as seq, x.worker, x.started_at, x.rank as x_rank, c.now as finished_at, ${jobRecordColumns}, ${toldOfX}
    from m x cross join c ${jobOfX}`,
);

/** What the lesser statement takes: the records that need not be read, and when it was tried in vain. */
export interface PlainAcks {
  readonly records: KnownRecords;
  readonly inVain: InVain<'ack'>;
}

/** Without `plain` all go by the whole statement. */
export function ackMany(run: Run, now: string | null, items: readonly AckItem[], plain?: PlainAcks): Promise<readonly SettleOutcome[]> {
  return settleBatch<AckItem, SettleOutcome>(run, now, items, {
    settlement: 'ack',
    apply: async (sent) => (await tryPlain(run, now, sent, plain)) ?? (await ackWhole(run, now, items, sent)),
    again: (job) => ({ kind: 'already_applied', job }),
  });
}

/** Null where the lesser statement is not for these. */
async function tryPlain(
  run: Run,
  now: string | null,
  sent: readonly Placed<AckItem>[],
  plain: PlainAcks | undefined,
): Promise<ReadonlyMap<number, SettleOutcome> | null> {
  if (plain === undefined || plain.inVain.has('ack')) return null;
  const outcomes = await ackPlain(run, now, sent, plain.records);
  if (outcomes === null) plain.inVain.add('ack');
  return outcomes;
}

async function ackWhole(
  run: Run,
  now: string | null,
  items: readonly AckItem[],
  sent: readonly Placed<AckItem>[],
): Promise<ReadonlyMap<number, SettleOutcome>> {
  const rows = await run(ackStatement, {
    now,
    ...heldValues(sent),
    results: byteaArray(sent.map(({ item }) => item.result)),
    contentTypes: textArray(sent.map(({ item }) => item.contentType)),
  });
  return new Map(rows.map((row) => [int(row, 'n'), acked(row, items[int(row, 'n')])]));
}

function acked(row: Row, item: AckItem | undefined): SettleOutcome {
  if (item === undefined) throw new Error('the database acked an item that was not sent');
  return {
    kind: 'applied',
    job: wholeJob(parseJobRecord(row), {
      state: 'SUCCEEDED',
      priority: Number(-int8(row, 'x_rank')),
      life: int(row, 'life'),
      attempt: int(row, 'attempt'),
      fence: int8(row, 'fence'),
      startedAt: instantOrNull(row, 'started_at'),
      finishedAt: instant(row, 'finished_at'),
      lastSequence: int(row, 'seq'),
      result: item.result,
      resultContentType: item.contentType,
      failure: null,
      workerId: text(row, 'worker'),
      leaseExpiresAt: null,
      asked: askedOrNull(row),
    }),
  };
}
