/** Walks along the ends of lives, in the order of their times: how far each has come. */
import { sql } from 'drizzle-orm';
import { clock } from './clock.ts';
import type { Run } from './database.ts';
import { text } from './row.ts';
import { param, shard, statement } from './statement.ts';

/** Behind this end, by time and then by job, nothing was looked at yet. */
export interface PruneMark {
  /** As Postgres writes it: it may be `-infinity`. */
  readonly finishedAt: string;
  readonly job: string;
}

/** Before every end. */
export const FIRST_MARK: PruneMark = { finishedAt: '-infinity', job: '00000000-0000-0000-0000-000000000000' };

const makeMarkStatement = statement<'now' | 'walk'>(
  'make-prune-mark',
  sql`with ${clock}
  insert into stint.prune_mark (shard, walk, finished_at, job, at)
  select ${shard}, ${param('walk')}::text, '-infinity', '00000000-0000-0000-0000-000000000000', c.now from c
  on conflict (shard, walk) do nothing`,
);

/** Who finds it locked leaves the walk to the one who is at it. */
const lockMarkStatement = statement<'walk'>(
  'lock-prune-mark',
  sql`select finished_at, job from stint.prune_mark where shard = ${shard} and walk = ${param('walk')}::text for update skip locked`,
);

const setMarkStatement = statement<'now' | 'walk' | 'finishedAt' | 'job'>(
  'set-prune-mark',
  sql`with ${clock}
  insert into stint.prune_mark (shard, walk, finished_at, job, at)
  select ${shard}, ${param('walk')}::text, ${param('finishedAt')}::timestamptz, ${param('job')}::uuid, c.now from c
  on conflict (shard, walk) do update set finished_at = excluded.finished_at, job = excluded.job, at = excluded.at`,
);

const forgetMarkStatement = statement<'walk'>(
  'forget-prune-mark',
  sql`delete from stint.prune_mark where shard = ${shard} and walk = ${param('walk')}::text`,
);

/** One row for each retention in use, with the name of its walk. */
export const walkOfRetention = (retentionMs: number) => `retention ${retentionMs}`;

/** Null where another replica is at it. To be called within the transaction that goes on with the walk. */
export async function lockMark(run: Run, now: string | null, walk: string): Promise<PruneMark | null> {
  const rows = await run(lockMarkStatement, { walk });
  if (rows.length === 0) await run(makeMarkStatement, { now, walk });
  const [row] = rows.length > 0 ? rows : await run(lockMarkStatement, { walk });
  return row === undefined ? null : { finishedAt: text(row, 'finished_at'), job: text(row, 'job') };
}

export async function setMark(run: Run, now: string | null, walk: string, mark: PruneMark): Promise<void> {
  await run(setMarkStatement, { now, walk, ...mark });
}

export async function forgetMark(run: Run, walk: string): Promise<void> {
  await run(forgetMarkStatement, { walk });
}

/**
 * A queue begins to retain for so long: what it has behind the mark of that walk was not the walk's concern when it came by. Waits for
 * whoever is at it, so that the mark is not set again behind this.
 */
export async function walkAnew(run: Run, now: string | null, retentionMs: number): Promise<void> {
  await setMark(run, now, walkOfRetention(retentionMs), FIRST_MARK);
}
