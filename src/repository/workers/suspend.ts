import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { SettleOutcome, SuspendItem } from '../../engine/ports/repository.ts';
import { byteaArray, textArray } from '../array.ts';
import type { Run } from '../database.ts';
import { heldLeases, heldValues, started, type HeldParam } from '../held-leases.ts';
import { int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { givenBack, giveBackText, RELEASE_LIMIT_JSON } from './give-back.ts';
import { settleBatch } from './settle-batch.ts';

const held = heldLeases({
  extraArrays: sql`, ${param('checkpoints')}::bytea[], ${param('reasons')}::text[]`,
  extraColumns: sql`, checkpoint, said`,
  condition: started,
});

const suspendStatement = statement<HeldParam | 'checkpoints' | 'reasons' | 'failure'>(
  'suspend',
  giveBackText(
    EVENT_CODES.suspended,
    held,
    { backAt: sql`null::timestamptz`, reason: sql`m.said` },
    sql`, k as (
  insert into stint.checkpoint (shard, job, fence, data)
  select ${shard}, job, fence, checkpoint from g where checkpoint is not null
  on conflict (shard, job, fence) do update set data = excluded.data)`,
  ),
);

export function suspendMany(run: Run, now: string | null, items: readonly SuspendItem[]): Promise<readonly SettleOutcome[]> {
  return settleBatch<SuspendItem, SettleOutcome>(run, now, items, {
    settlement: 'suspend',
    apply: async (sent) => {
      const rows = await run(suspendStatement, {
        now,
        ...heldValues(sent),
        checkpoints: byteaArray(sent.map(({ item }) => item.checkpoint)),
        reasons: textArray(sent.map(({ item }) => item.reason)),
        failure: RELEASE_LIMIT_JSON,
      });
      return new Map(rows.map((row) => [int(row, 'n'), givenBack(row, 'SUSPENDED', items[int(row, 'n')]?.reason ?? '')]));
    },
    again: (job) => ({ kind: 'already_applied', job }),
  });
}
