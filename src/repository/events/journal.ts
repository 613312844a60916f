import { sql, type SQL } from 'drizzle-orm';
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
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { queuesById } from '../queues/resolve-queues.ts';
import { int, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { journalColumns, parseJournalRow, queueIdsOf } from './journal-columns.ts';

/** Rows of one read: each is what one statement did, a thousand events at most. */
const ROWS_AT_ONCE = 32;
/** Past it the names of queues are looked up anew. */
const MAX_REMEMBERED_QUEUES = 10_000;

/**
 * CTE `s`: the statement's own snapshot and the epoch of the server that answers, read together with the rows.
 *
 * The snapshot is cut off behind the newest journal row it sees. Postgres hands a transaction id out again after a crash
 * when nothing of it was flushed (one that rolled back, a NOTIFY): taken as it is, the snapshot would call it seen, and
 * the durable commit that gets it next would be missed. Below a row that is visible, hence flushed, no id comes again.
 */
const here = sql`s as materialized (
  select (least(pg_snapshot_xmin(k.taken), k.top)::text || ':' || k.top::text || ':' || coalesce((
            select string_agg(o.xid::text, ',' order by o.xid) from pg_snapshot_xip(k.taken) as o(xid) where o.xid < k.top), ''))::pg_snapshot as snapshot,
         k.epoch, k.epoch_id
    from (
      select pg_current_snapshot() as taken, e.number as epoch, e.id as epoch_id, coalesce((
               select (j.xid::text::bigint + 1)::text::xid8 from stint.journal j
                where j.shard = ${shard} and j.epoch = e.number order by j.xid desc limit 1), '1'::xid8) as top
        from stint.epoch e where e.shard = ${shard} and e.number = stint.current_epoch(${shard})) k)`;

const unseen = (rows: SQL) => sql`(xid >= ${param('xmax')}::xid8 or xid = any(${param('xip')}::xid8[])) and ${rows}`;

const headStatement = statement<never>('journal-head', sql`with ${here} select snapshot::text, epoch as here, epoch_id from s`);

/** The first rows of a window: by the index on xid, two ranges of it, sorted by n. */
const openWindowStatement = statement<'xmax' | 'xip' | 'upTo' | 'limit'>(
  'journal-open-window',
  sql`with ${here}
  select s.snapshot::text, s.epoch as here, s.epoch_id, ${journalColumns} from s left join lateral (
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
  select s.snapshot::text, s.epoch as here, s.epoch_id, ${journalColumns} from s left join lateral (
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
  const read = async (position: LogPosition, upTo: string | null): Promise<LogChunk> => {
    const rows =
      position.window === null && position.seen !== null ? await open(run, position.seen, upTo) : await scan(run, position, upTo);
    const [first] = rows;
    if (first === undefined) throw new Error('the journal answered nothing');
    const found = rows.filter((row) => row['n'] !== null);
    const epochId = text(first, 'epoch_id');
    // Another map, not an emptied one: another read may be looking names up in it.
    if (names.epochId !== epochId || names.queues.size > MAX_REMEMBERED_QUEUES) names = { epochId, queues: new Map() };
    const { queues } = names;
    await learnQueues(run, queues, found);
    return chunk(position, upTo, first, found, (id) => queues.get(id) ?? { namespace: '', name: '' });
  };
  return {
    head: async () => {
      const [row] = await run(headStatement, {});
      if (row === undefined) throw new Error('the journal has no epoch');
      return { epoch: epochOf(row), seen: text(row, 'snapshot'), window: null };
    },
    read,
  };
}

function open(run: Run, seen: string, upTo: string | null): Promise<readonly Row[]> {
  return run(openWindowStatement, { ...unseenValues(seen), upTo, limit: ROWS_AT_ONCE });
}

async function scan(run: Run, { seen, window }: LogPosition, upTo: string | null): Promise<readonly Row[]> {
  const from = window?.from ?? { epoch: 0, n: 0 };
  const bound = window?.upTo ?? upTo ?? text((await run(headStatement, {}))[0] ?? {}, 'snapshot');
  const rows = await run(scanWindowStatement, {
    ...(seen === null ? { xmax: null, xip: '{}' } : unseenValues(seen)),
    upTo: bound,
    epoch: from.epoch,
    n: from.n,
    limit: ROWS_AT_ONCE,
  });
  return rows.map((row) => ({ ...row, snapshot: bound }));
}

function unseenValues(seen: string) {
  return { xmax: String(snapshotXmax(seen)), xip: plainArray(snapshotXip(seen)) };
}

function chunk(position: LogPosition, upTo: string | null, first: Row, rows: readonly Row[], queueOf: (id: number) => QueueName): LogChunk {
  const epoch = epochOf(first);
  const bound = position.window?.upTo ?? upTo ?? text(first, 'snapshot');
  const events: LoggedEvent[] = rows.flatMap((row) => loggedEvents(row, queueOf, position.window?.from ?? null));
  const window = { events, seenBefore: position.seen, upTo: bound };
  if (rows.length < ROWS_AT_ONCE) return { ...window, complete: true, position: { epoch, seen: bound, window: null } };
  const last = rows.at(-1) ?? first;
  const from = { epoch: int(last, 'epoch'), n: int(last, 'n') + 1, offset: 0 };
  return { ...window, complete: false, position: { epoch, seen: position.seen, window: { upTo: bound, from } } };
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

async function learnQueues(run: Run, queues: Map<number, QueueName>, rows: readonly Row[]): Promise<void> {
  const unknown = [...new Set(rows.flatMap(queueIdsOf))].filter((id) => !queues.has(id));
  if (unknown.length === 0) return;
  for (const queue of await queuesById(run, unknown)) queues.set(queue.id, queue);
}

function epochOf(row: Row): Epoch {
  return { number: int(row, 'here'), id: text(row, 'epoch_id') };
}
