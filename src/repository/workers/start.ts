import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { Applied, LeaseLost } from '../../engine/ports/repository.ts';
import type { SettleItem } from '../../engine/ports/leases.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { counted } from '../gates.ts';
import { distinctSorted, expiryOf, heldLeases, heldValues, placed, tokenKey, type HeldParam } from '../held-leases.ts';
import { toldOfX, askedOrNull, formerFailureOfX, jobOfX, jobRecordColumns, parseJobRecord, wholeJob } from '../job-record.ts';
import { moves } from '../moves.ts';
import { bool, failureOrNull, int, int8, instant, text, type Row } from '../row.ts';
import { shard, statement } from '../statement.ts';

/** When a try that starts now times out. */
const runUntil = sql`(select now from c) + run_ms * interval '1 millisecond'`;

const moved = sql`select queue_id, 'LEASED' as was, 'RUNNING' as becomes from m where started_at is null`;

/** Start: LEASED becomes RUNNING, once; a lease that is started already answers as the first time. */
const startStatement = statement<HeldParam>(
  'start',
  sql`with ${clock},
  ${heldLeases({})},
  s as (
    update stint.lease set started_at = (select now from c), started_seq = seq + 1, seq = seq + 1,
        run_until = ${runUntil}, until = least(until, ${runUntil})
     where shard = ${shard} and job = any(array(select job from m where started_at is null))),
  e as (
    insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, workers, moves)
    select ${shard}, c.epoch, c.now, array_agg(${EVENT_CODES.started}), array_agg(job), array_agg(seq + 1), array_agg(queue_id),
        array_agg(life), array_agg(attempt), array_agg(fence), array_agg(worker), ${moves(moved)}
      from m cross join c where m.started_at is null group by c.epoch, c.now),
  ${counted(moved)}
  select x.n, x.started_at is null as fresh, x.life, x.attempt, x.fence, case when x.started_at is null then x.seq + 1 else x.seq end as seq,
         coalesce(x.started_at, c.now) as started_at, x.worker, x.rank as x_rank,
         case when x.started_at is null then least(${expiryOf(sql`x`)}, c.now + x.run_ms * interval '1 millisecond') else ${expiryOf(sql`x`)} end as until,
         ${jobRecordColumns}, ${formerFailureOfX}, ${toldOfX}
    from m x cross join c ${jobOfX}`,
);

export async function startMany(run: Run, now: string | null, items: readonly SettleItem[]): Promise<readonly (Applied | LeaseLost)[]> {
  const rows = await run(startStatement, { now, ...heldValues(distinctSorted(placed(items))) });
  const outcomes = new Map<string, Applied>();
  for (const row of rows) {
    const item = items[int(row, 'n')];
    if (item !== undefined) outcomes.set(tokenKey(item), running(row));
  }
  return items.map((item) => outcomes.get(tokenKey(item)) ?? { kind: 'lease_lost' });
}

function running(row: Row): Applied {
  return {
    kind: bool(row, 'fresh') ? 'applied' : 'already_applied',
    job: wholeJob(parseJobRecord(row), {
      state: 'RUNNING',
      priority: Number(-int8(row, 'x_rank')),
      life: int(row, 'life'),
      attempt: int(row, 'attempt'),
      fence: int8(row, 'fence'),
      startedAt: instant(row, 'started_at'),
      finishedAt: null,
      lastSequence: int(row, 'seq'),
      result: null,
      resultContentType: '',
      failure: failureOrNull(row, 'former_failure'),
      workerId: text(row, 'worker'),
      leaseExpiresAt: instant(row, 'until'),
      asked: askedOrNull(row),
    }),
  };
}
