/** What the engine asks of storage about the events of a job. */
import type { Refusal } from '../../domain/error.ts';
import type { JobEvent } from '../../domain/event.ts';
import type { JobId } from '../../domain/job.ts';
import type { LeaseToken } from '../../domain/lease.ts';

export interface AppendItem {
  readonly namespace: string;
  readonly jobId: JobId;
  /** Null: told by somebody who does not hold the job. */
  readonly token: LeaseToken | null;
  readonly type: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  /** Null: each call is an event of its own. */
  readonly replayKey: string | null;
}

export type AppendOutcome =
  | { readonly kind: 'appended'; readonly event: JobEvent }
  /** Its key was used before, for this event. */
  | { readonly kind: 'repeated'; readonly event: JobEvent }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** Which events of a history are wanted. */
export interface WantedEvents {
  /** Built-in and custom ones; default: of any. */
  readonly types?: readonly string[];
  /** Of those that are wanted the last so many; default: from the first. */
  readonly recent?: number;
}

/** For events with a higher sequence than `after`. */
export type HistoryQuery = Readonly<{ jobId: JobId; after: number }>;

export interface History {
  readonly namespace: string;
  readonly events: readonly JobEvent[];
  readonly latestSequence: number;
  /** There are more, which would have made it too large. */
  readonly isCut?: boolean;
}

export interface JobEvents {
  /** Positional. Items of one job become events in their order. */
  appendMany(items: readonly AppendItem[]): Promise<readonly AppendOutcome[]>;
  /** Ascending. Null for an id nobody enqueued, or of a job that is pruned. */
  history(jobId: JobId, afterSequence: number, limit: number, wanted?: WantedEvents): Promise<History | null>;
  /** Positional, of each at most `limit` events; null as for `history`. */
  histories(asked: readonly HistoryQuery[], limit: number, wanted?: WantedEvents): Promise<readonly (History | null)[]>;
}
