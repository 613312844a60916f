import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { ReleaseItem, SettleOutcome } from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { heldLeases, heldValues, type HeldParam } from '../held-leases.ts';
import { int } from '../row.ts';
import { param, statement } from '../statement.ts';
import { givenBack, giveBackText, RELEASE_LIMIT_JSON } from './give-back.ts';
import { settleBatch } from './settle-batch.ts';

const releaseStatement = statement<HeldParam | 'delaysMs' | 'failure'>(
  'release',
  giveBackText(EVENT_CODES.released, heldLeases({ extraArrays: sql`, ${param('delaysMs')}::bigint[]`, extraColumns: sql`, delay_ms` }), {
    backAt: sql`case when m.delay_ms > 0 then c.now + m.delay_ms * interval '1 millisecond' end`,
    reason: sql`null::text`,
  }),
);

export function releaseMany(run: Run, now: string | null, items: readonly ReleaseItem[]): Promise<readonly SettleOutcome[]> {
  return settleBatch<ReleaseItem, SettleOutcome>(run, now, items, {
    settlement: 'release',
    apply: async (sent) => {
      const rows = await run(releaseStatement, {
        now,
        ...heldValues(sent),
        delaysMs: plainArray(sent.map(({ item }) => item.delayMs)),
        failure: RELEASE_LIMIT_JSON,
      });
      return new Map(rows.map((row) => [int(row, 'n'), givenBack(row, 'READY', '')]));
    },
    again: (job) => ({ kind: 'already_applied', job }),
  });
}
