import { sql, type SQL } from 'drizzle-orm';
import { eventBytes } from '../../domain/event.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { QueueName } from '../../domain/queue.ts';
import {
  snapshotXip,
  snapshotXmax,
  type Epoch,
  type Journal,
  type LogChunk,
  type LoggedEvent,
  type LogPosition,
} from '../../engine/ports/journal.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { queuesById } from '../queues/resolve-queues.ts';
import { int, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { here } from './cut-snapshot.ts';
import { expectNothingMissed } from './journal-floor.ts';
import { journalColumns, parseJournalRow, queueIdsOf } from './journal-columns.ts';

/** Rows of one read at most: each is what one statement did, a thousand events at most. */
const ROWS_AT_ONCE = 32;
/**
 * Of the events of one read, by `eventBytes`; the row that passes it is the last. A reader who has stopped holds what it
 * read last for as long as it stands still, and there may be thousands of them.
 */
const BYTES_AT_ONCE = LIMITS.eventMessageBytes;
/** Past it the names of queues are looked up anew. */
const MAX_REMEMBERED_QUEUES = 10_000;

const unseen = (rows: SQL) => sql`(xid >= ${param('xmax')}::xid8 or xid = any(${param('xip')}::xid8[])) and ${rows}`;

/** What each read tells besides its rows. */
const told = sql`s.snapshot::text, s.snapshot::text as current, s.epoch as here, s.epoch_id, s.floor_epoch, s.floor_n, s.floor_xid`;

const headStatement = statement<never>('journal-head', sql`with ${here} select ${told} from s`);

/** The first rows of a window: by the index on xid, two ranges of it, sorted by n. */
const openWindowStatement = statement<'xmax' | 'xip' | 'upTo' | 'limit'>(
  'journal-open-window',
  sql`with ${here}
  select ${told}, ${journalColumns} from s left join lateral (
    select * from (
      select * from stint.journal a where a.shard = ${shard} and a.epoch = s.epoch and a.xid >= ${param('xmax')}::xid8
      union all
      select b.* from unnest(${param('xip')}::xid8[]) as o(xid) cross join lateral (
        select * from stint.journal where shard = ${shard} and epoch = s.epoch and xid = o.xid offset 0) b
    ) u where pg_visible_in_snapshot(u.xid, coalesce(${param('upTo')}::text::pg_snapshot, s.snapshot))
    order by u.n limit ${param('limit')}::int) w on true
  order by w.n`,
);

/** The next rows of a window: by primary key from where the last read ended. Without `xmax`, from the beginning of the log. */
const scanWindowStatement = statement<'xmax' | 'xip' | 'upTo' | 'epoch' | 'n' | 'limit'>(
  'journal-scan-window',
  sql`with ${here}
  select ${told}, ${journalColumns} from s left join lateral (
    select * from stint.journal u
     where u.shard = ${shard} and (u.epoch, u.n) >= (${param('epoch')}::int, ${param('n')}::bigint)
       and (u.epoch < s.epoch or pg_visible_in_snapshot(u.xid, ${param('upTo')}::text::pg_snapshot))
       and (${param('xmax')}::xid8 is null or ${unseen(sql`u.epoch = s.epoch`)})
     order by u.epoch, u.n limit ${param('limit')}::int) w on true
  order by w.epoch, w.n`,
);

/** The journal over one pool; remembers the names of queues, which never change within one history of the database. */
export function createJournal(run: Run): Journal {
  let names = { epochId: '', queues: new Map<number, QueueName>() };
  /** Rows that fill a chunk, by what the last read found: where the log ends, and where readers catch up. */
  const filling = { tail: ROWS_AT_ONCE, past: ROWS_AT_ONCE };
  const read = async (position: LogPosition, upTo: string | null): Promise<LogChunk> => {
    const where = upTo === null ? 'tail' : 'past';
    const limit = filling[where];
    const { window, seen } = position;
    const rows = window === null && seen !== null ? await open(run, { seen, upTo, limit }) : await scan(run, position, upTo, limit);
    const [first] = rows;
    if (first === undefined) throw new Error('the journal answered nothing');
    await expectNothingMissed(run, position, first);
    const found = rows.filter((row) => row['n'] !== null);
    const epochId = text(first, 'epoch_id');
    // Another map, not an emptied one: another read may be looking names up in it.
    if (names.epochId !== epochId || names.queues.size > MAX_REMEMBERED_QUEUES) names = { epochId, queues: new Map() };
    const { queues } = names;
    await learnQueues(run, queues, found, epochOf(first));
    const nameOf = (id: number) => queues.get(id) ?? { namespace: '', name: '' };
    const taken = take(found, (row) => loggedEvents(row, nameOf, window?.from ?? null));
    filling[where] = rowsThatFill(taken);
    return chunk(position, upTo, first, {
      ...taken,
      last: found[taken.rows - 1],
      complete: taken.rows === found.length && found.length < limit,
    });
  };
  return {
    head: async () => {
      const [row] = await run(headStatement, {});
      if (row === undefined) throw new Error('the journal has no epoch');
      return { epoch: epochOf(row), seen: text(row, 'snapshot'), window: null };
    },
    read,
    expectRetained: async (position) => {
      const [row] = await run(headStatement, {});
      if (row !== undefined) await expectNothingMissed(run, position, row);
    },
  };
}

function open(run: Run, { seen, upTo, limit }: { seen: string; upTo: string | null; limit: number }): Promise<readonly Row[]> {
  return run(openWindowStatement, { ...unseenValues(seen), upTo, limit });
}

async function scan(run: Run, { seen, window }: LogPosition, upTo: string | null, limit: number): Promise<readonly Row[]> {
  const from = window?.from ?? { epoch: 0, n: 0 };
  const bound = window?.upTo ?? upTo ?? text((await run(headStatement, {}))[0] ?? {}, 'snapshot');
  const rows = await run(scanWindowStatement, {
    ...(seen === null ? { xmax: null, xip: '{}' } : unseenValues(seen)),
    upTo: bound,
    epoch: from.epoch,
    n: from.n,
    limit,
  });
  return rows.map((row) => ({ ...row, snapshot: bound }));
}

function unseenValues(seen: string) {
  return { xmax: String(snapshotXmax(seen)), xip: plainArray(snapshotXip(seen)) };
}

interface Taken {
  readonly events: readonly LoggedEvent[];
  /** Those that the events are of: the first ones. */
  readonly rows: number;
  readonly bytes: number;
}

function take(rows: readonly Row[], eventsOf: (row: Row) => readonly LoggedEvent[]): Taken {
  const events: LoggedEvent[] = [];
  let [taken, bytes] = [0, 0];
  for (const row of rows) {
    if (bytes >= BYTES_AT_ONCE) break;
    const found = eventsOf(row);
    events.push(...found);
    bytes += found.reduce((sum, { event }) => sum + eventBytes(event), 0);
    taken += 1;
  }
  return { events, rows: taken, bytes };
}

/** A chunk, going by what the last one was made of. */
function rowsThatFill({ rows, bytes }: Taken): number {
  return rows === 0 ? ROWS_AT_ONCE : Math.max(1, Math.min(ROWS_AT_ONCE, Math.floor((rows * BYTES_AT_ONCE) / bytes)));
}

interface Window {
  readonly events: readonly LoggedEvent[];
  /** The row that ends the chunk. */
  readonly last: Row | undefined;
  readonly complete: boolean;
}

function chunk(position: LogPosition, upTo: string | null, first: Row, { events, last = first, complete }: Window): LogChunk {
  const epoch = epochOf(first);
  const bound = position.window?.upTo ?? upTo ?? text(first, 'snapshot');
  const window = { events, seenBefore: position.seen, upTo: bound };
  if (complete) return { ...window, complete, position: { epoch, seen: bound, window: null } };
  const from = { epoch: int(last, 'epoch'), n: int(last, 'n') + 1, offset: 0 };
  return { ...window, complete, position: { epoch, seen: position.seen, window: { upTo: bound, from } } };
}

function loggedEvents(
  row: Row,
  queueOf: (id: number) => QueueName,
  from: { epoch: number; n: number; offset: number } | null,
): LoggedEvent[] {
  const [epoch, n] = [int(row, 'epoch'), int(row, 'n')];
  const skip = from !== null && from.epoch === epoch && from.n === n ? from.offset : 0;
  const events = parseJournalRow(row, queueOf);
  return events.slice(skip).map((event, index) => {
    const behind = skip + index + 1;
    return { event, next: behind === events.length ? { epoch, n: n + 1, offset: 0 } : { epoch, n, offset: behind } };
  });
}

/** Names are of the history that the rows are of, or of none: between the two statements the database may be exchanged. */
async function learnQueues(run: Run, queues: Map<number, QueueName>, rows: readonly Row[], { number }: Epoch): Promise<void> {
  const unknown = [...new Set(rows.flatMap(queueIdsOf))].filter((id) => !queues.has(id));
  if (unknown.length === 0) return;
  for (const queue of await queuesById(run, unknown)) {
    if (queue.epoch !== number) throw new StoreError('other_history', 'the database was exchanged while its log was read');
    queues.set(queue.id, queue);
  }
}

function epochOf(row: Row): Epoch {
  return { number: int(row, 'here'), id: text(row, 'epoch_id') };
}
