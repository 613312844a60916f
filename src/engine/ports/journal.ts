/**
 * The log of everything committed, as storage gives it: one row for each statement, in the order (epoch, n). A reader
 * moves by snapshots: what became visible between two of them is a window, and within a window rows come in order. So
 * nothing is skipped when commits land out of order, and a long transaction elsewhere stalls nobody.
 */
import type { JobEvent } from '../../domain/event.ts';

/** One history of the database. `id` is random: a cursor of another history is told by it. */
export interface Epoch {
  readonly number: number;
  readonly id: string;
}

/** Where the next event of a window is: at or after row `n` of `epoch`, past `offset` events of that very row. */
export interface RowPosition {
  readonly epoch: number;
  readonly n: number;
  readonly offset: number;
}

/**
 * What a reader has seen: everything visible in `seen` (null: nothing at all), and of what `window.upTo` shows beyond it,
 * everything before `window.from`. Snapshots are in Postgres' own text form.
 */
export interface LogPosition {
  readonly epoch: Epoch;
  readonly seen: string | null;
  readonly window: { readonly upTo: string; readonly from: RowPosition } | null;
}

export interface LoggedEvent {
  readonly event: JobEvent;
  /** Just behind this event. */
  readonly next: RowPosition;
}

export interface LogChunk {
  /** In order. */
  readonly events: readonly LoggedEvent[];
  /** The window the chunk is of: what `upTo` shows beyond `seenBefore`. */
  readonly seenBefore: string | null;
  readonly upTo: string;
  /** Behind the whole chunk. */
  readonly position: LogPosition;
  /** True when nothing of the window is left. */
  readonly complete: boolean;
}

export interface Journal {
  /** Behind everything that is committed now. */
  head(): Promise<LogPosition>;
  /**
   * The next rows from a position. `upTo` bounds a new window; null takes what is visible now. A position that is in a
   * window goes on in that one, whatever `upTo`. Throws `JournalDropped` where rows that come next are gone.
   */
  read(position: LogPosition, upTo: string | null): Promise<LogChunk>;
  /** Throws `JournalDropped` for a position that `read` would throw it for. */
  expectRetained(position: LogPosition): Promise<void>;
}

/** What comes next behind a position is older than the log is kept: a reader would miss it without knowing. */
export class JournalDropped extends Error {
  constructor() {
    super('the log is not kept so far back');
    this.name = 'JournalDropped';
  }
}

/** Highest transaction id a snapshot knows of, exclusive: `xmin:xmax:xip,…`. */
export function snapshotXmax(snapshot: string): bigint {
  return BigInt(snapshot.split(':')[1] ?? '0');
}

/** Transactions that were open in a snapshot. */
export function snapshotXip(snapshot: string): readonly string[] {
  const open = snapshot.split(':')[2] ?? '';
  return open === '' ? [] : open.split(',');
}
