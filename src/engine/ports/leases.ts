/** How storage speaks of a lease. */
import type { Micros } from '../../domain/job.ts';
import type { LeaseToken } from '../../domain/lease.ts';

export interface SettleItem {
  readonly token: LeaseToken;
}

/**
 * `NOT_HELD`: nothing is known of the token. `EXPIRED`: not renewed in time. `SETTLED`: by its holder. `TIMED_OUT`: by a timeout of
 * the job. `CANCELLED`: by force.
 */
export const LEASE_LOSS_REASONS = ['NOT_HELD', 'EXPIRED', 'SETTLED', 'TIMED_OUT', 'CANCELLED'] as const;

export type LeaseLossReason = (typeof LEASE_LOSS_REASONS)[number];

/** With a `cancelDeadline` its holder is to stop; with `draining`, to finish and to claim no more from its queue. */
export interface LeaseRenewed {
  readonly kind: 'renewed';
  readonly expiresAt: Micros;
  readonly ttlMs: number;
  readonly cancelDeadline: Micros | null;
  readonly draining: boolean;
}

export type HeartbeatOutcome = LeaseRenewed | { readonly kind: 'lease_lost'; readonly reason: LeaseLossReason };
