/** What `Work` asks of storage besides claims, heartbeats and settlements. */
import type { Micros } from '../../domain/job.ts';
import type { LeaseLossReason, SettleItem } from './repository.ts';

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

export interface WorkStore {
  /** Positional. Changes nothing. */
  lookAtLeases(items: readonly SettleItem[]): Promise<readonly LeaseLook[]>;
  /** Positional: whether a live lease ends with this, as one that nobody renewed. */
  dropLeases(items: readonly SettleItem[]): Promise<readonly boolean[]>;
  /** Those that are there, in no order. */
  workedQueues(namespace: string, names: readonly string[]): Promise<readonly WorkedQueue[]>;
}
