/** What has left the journal, and whether a reader has seen it: the rows that are dropped are told by the last of them alone. */
import { sql } from 'drizzle-orm';
import { JournalDropped, type LogPosition, snapshotXip, snapshotXmax } from '../../engine/ports/journal.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { int, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

interface Floor {
  readonly epoch: number;
  readonly n: number;
  readonly xid: bigint;
  /** Transactions that have not ended: what they write was not dropped, for a drop waits for whoever writes there. */
  readonly open: ReadonlySet<string>;
}

/** As many as `stint.drop_journal_partition` keeps: where there are fewer, they are all there ever were. */
const KNOWN_WRITERS = 1_000;

/** Whether one of these wrote what was dropped, or may have: of the older ones nothing is known any more. */
const wroteStatement = statement<'epoch' | 'xids'>(
  'wrote-dropped',
  sql`select 1 from stint.journal_floor f where f.shard = ${shard} and f.epoch = ${param('epoch')}::int and exists (
     select 1 from unnest(${param('xids')}::xid8[]) as o(xid)
      where o.xid = any(f.last_xids) or (cardinality(f.last_xids) >= ${KNOWN_WRITERS} and o.xid < f.last_xids[1]))`,
);

/**
 * Throws `JournalDropped` where rows behind the position are gone. `row` has the floor as it was when the statement that told the rows ran.
 * A position that has seen nothing begins with whatever there is.
 */
export async function expectNothingMissed(run: Run, position: LogPosition, row: Row): Promise<void> {
  const floor = parseFloor(row);
  if (floor === null || text(row, 'epoch_id') !== position.epoch.id) return;
  const unseen = unseenOf(position, floor);
  if (unseen === null) throw new JournalDropped();
  if (unseen.length === 0) return;
  const wrote = await run(wroteStatement, { epoch: floor.epoch, xids: plainArray(unseen) });
  if (wrote.length > 0) throw new JournalDropped();
}

function parseFloor(row: Row): Floor | null {
  if (row['floor_epoch'] === null) return null;
  const open = new Set(snapshotXip(text(row, 'current')));
  return { epoch: int(row, 'floor_epoch'), n: int(row, 'floor_n'), xid: BigInt(text(row, 'floor_xid')), open };
}

/** Transactions below the floor whose rows the position has not seen, if they wrote any; null where it has not seen the floor itself. */
function unseenOf({ epoch, seen, window }: LogPosition, floor: Floor): readonly string[] | null {
  if (seen === null && window === null) return [];
  const before = seen === null ? null : openBelow(seen, epoch.number, floor);
  if (window === null || before?.length === 0) return before;
  const { from, upTo } = window;
  const isPast = from.epoch > floor.epoch || (from.epoch === floor.epoch && from.n > floor.n);
  return isPast ? openBelow(upTo, epoch.number, floor) : before;
}

/** What was open in a snapshot of an epoch and has ended since; null where the snapshot is of before the floor. */
function openBelow(snapshot: string, epoch: number, floor: Floor): readonly string[] | null {
  if (floor.epoch !== epoch) return floor.epoch < epoch ? [] : null;
  if (snapshotXmax(snapshot) <= floor.xid) return null;
  return snapshotXip(snapshot).filter((xid) => BigInt(xid) <= floor.xid && !floor.open.has(xid));
}
