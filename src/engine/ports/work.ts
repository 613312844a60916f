/** What `Work` asks of storage besides claims, heartbeats and settlements. */
import type { Micros } from '../../domain/job.ts';
import type { LeaseLossReason, LeaseRenewed, SettleItem } from './leases.ts';

/** How a lease is, told without renewing it. */
export type LeaseLook =
  { readonly kind: 'live'; readonly cancelDeadline: Micros | null } | { readonly kind: 'lease_lost'; readonly reason: LeaseLossReason };

/** A queue as a session sees it. */
export interface WorkedQueue {
  readonly name: string;
  readonly leaseDurationMs: number;
  /** It answers `Claim` only. */
  readonly isPullOnly: boolean;
  /** Whoever holds jobs of it is to finish them; no more come. */
  readonly isDraining: boolean;
}

/** A session lives on for as long as it runs, and with it the leases that it keeps. */
export interface SessionBeat {
  readonly sessionId: string;
  /** For how long it runs, in milliseconds, where it opens with this; null for one that was opened before. */
  readonly opensForMs: number | null;
  /** The leases that its worker lists. */
  readonly items: readonly SettleItem[];
}

/** Which of the listed leases go on with their session: null for one that it does not keep. Null for a session that has lapsed. */
export type SessionBeaten = readonly (LeaseRenewed | null)[] | null;

/** A lease that its worker does not list any more. */
export interface DropItem extends SettleItem {
  /** The session that has missed it: a lease that another one keeps is left alone. Null for none. */
  readonly session: string | null;
}

export interface WorkStore {
  /** Positional. One small write for each session; the leases are only read. */
  beatSessions(beats: readonly SessionBeat[]): Promise<readonly SessionBeaten[]>;
  /** Positional. Changes nothing. */
  lookAtLeases(items: readonly SettleItem[]): Promise<readonly LeaseLook[]>;
  /** Positional: whether a live lease ends with this, as one that nobody renewed. */
  dropLeases(items: readonly DropItem[]): Promise<readonly boolean[]>;
  /** Those that are there, in no order. */
  workedQueues(namespace: string, names: readonly string[]): Promise<readonly WorkedQueue[]>;
}
