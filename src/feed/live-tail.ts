import type { LogChunk, LogPosition } from '../engine/ports/journal.ts';

/** Where a reader of the log may join the ring: behind `position`, its next entry is `entry`. */
export interface Junction {
  readonly position: LogPosition;
  readonly entry: number;
}

/** The end of the log as this replica has read it: what a reader joins once it has caught up. */
export interface LiveTail {
  /** Throws `EpochEnded` between two histories of the database. */
  junction(): Junction;
  /** The entry of that number; `gone` when the ring has moved on, null when it is still to come. */
  entry(number: number): LogChunk | 'gone' | null;
  /** Until something more was read, the signal, or `forMs` have passed. */
  changed(signal: AbortSignal, forMs: number): Promise<void>;
}
