import { sql } from 'drizzle-orm';
import { StoreError } from '../../engine/ports/store-error.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { textOrNull } from '../row.ts';
import { param, shard, statement, type Statement } from '../statement.ts';

/** Of the tables of the jobs: no id is minted so late, and the partitions of younger ones are still made. */
const dropEmptyStatement = statement<'now'>(
  'drop-empty-partition',
  sql`with ${clock} select stint.drop_empty_partition(c.now - interval '48 hours') as dropped from c`,
);

const dropJournalStatement = statement<'now' | 'retentionDays'>(
  'drop-journal-partition',
  sql`with ${clock}
  select stint.drop_journal_partition(${shard}, c.now - ${param('retentionDays')}::int * interval '1 day') as dropped from c`,
);

/** Dropped in one round: each is a table of a day, so that a service which was away for a year has caught up after some rounds. */
const MAX_DROPPED = 100;

/**
 * Drops partitions of jobs that have none left, and of the journal what is older than it is retained: how many. One whose parent
 * somebody else uses for longer than a moment is left for the next round.
 */
export async function dropPartitions(run: Run, now: string | null, journalRetentionDays: number): Promise<number> {
  const journal = await dropEach(run, dropJournalStatement, { now, retentionDays: journalRetentionDays });
  return journal + (await dropEach(run, dropEmptyStatement, { now }));
}

async function dropEach<P extends string>(run: Run, drop: Statement<P>, values: Parameters<typeof run<P>>[1]): Promise<number> {
  try {
    for (let dropped = 0; dropped < MAX_DROPPED; dropped += 1) {
      const [row] = await run(drop, values);
      if (row === undefined || textOrNull(row, 'dropped') === null) return dropped;
    }
    return MAX_DROPPED;
  } catch (error) {
    if (error instanceof StoreError && (error.kind === 'contended' || error.kind === 'conflict')) return 0;
    throw error;
  }
}
