import type { BuiltInEventType } from '../../domain/event.ts';

/** What is counted of jobs, by the name of the event that tells it; of `ready`, which time brings, nothing is. */
export type CountedEvent = Exclude<BuiltInEventType, 'ready'> | 'custom';

/** Why a lease ended without a word of its holder. */
export const LEASE_ENDINGS = ['expired', 'timed_out', 'cancelled', 'abandoned'] as const;

export type LeaseEnding = (typeof LEASE_ENDINGS)[number];

/** Who counts what this replica did itself, each thing once it has committed: the sum over replicas is what was done by all. */
export interface JobObserver {
  onEvents(event: CountedEvent, count: number): void;
  /** Leases that upkeep ended; what became of their jobs is told as events besides. */
  onLeasesEnded(how: LeaseEnding, count: number): void;
  /** Lives that left a dead letter; each is told as `failed` besides. */
  onDeadLetters(count: number): void;
  /** Jobs that were removed because their retention was over. */
  onPruned(count: number): void;
}
