import type { Micros } from './job.ts';
import type { JobCounts, QueueName, QueueStatus } from './queue.ts';

/** What keeps a queue from giving more jobs. */
export type QueueLimiter = 'EMPTY' | 'WORKERS' | 'MAX_IN_FLIGHT' | 'RATE' | 'CONCURRENCY_KEYS' | 'STATUS';

/** How much of each there ever was, or, as rates, how much a second. */
export interface Totals {
  /** Lives that began. */
  readonly enqueued: number;
  readonly claimed: number;
  /** Lives that ended. */
  readonly finished: number;
  /** Attempts that failed. */
  readonly failed: number;
}

/** Totals as they were at an instant, and until the next sample. */
export interface Sample extends Totals {
  readonly at: Micros;
}

/** How a queue is doing, at one moment. */
export interface QueueStats extends QueueName {
  readonly observedAt: Micros;
  readonly status: QueueStatus;
  readonly jobs: JobCounts & { readonly blocked: number };
  /** READY jobs that claims could take: none where an operator stopped them, and no more than `max_in_flight` leaves room for. */
  readonly claimable: number;
  /** Null: nothing can be claimed. */
  readonly oldestReadyMs: number | null;
  /** A second, over the last minute. */
  readonly rates: Totals;
  readonly limiter: QueueLimiter;
  /** That are not replayed. */
  readonly deadLetters: number;
  /** Null: nobody holds a snapshot. */
  readonly oldestSnapshotMs: number | null;
}

/** READY jobs that are looked at for whether they can be claimed; where there are more, all that are READY are taken for such. */
export const CLAIMABLE_LOOKED_AT = 1_000;

/** What is known of a queue by which its claimable jobs are told. */
export interface Claimables extends Pick<QueueStats, 'jobs' | 'limiter'> {
  /** Of those looked at. */
  readonly seen: number;
  readonly maxInFlight: number | null;
}

/** READY jobs with external owners are never claimed: they are among `jobs`, but not seen. */
export function claimableOf({ jobs, limiter, seen, maxInFlight }: Claimables): number {
  if (limiter === 'STATUS') return 0;
  const ready = seen < CLAIMABLE_LOOKED_AT ? seen : jobs.ready;
  return maxInFlight === null ? ready : Math.max(0, Math.min(ready, maxInFlight - jobs.leased - jobs.running));
}

const SECOND: Micros = 1_000_000;
/** Rates look back so far, and as much further as the next sample may lie. */
export const RATE_SECONDS = 60;
const LOOK_BACK_SECONDS = 72;

const NOTHING: Totals = { enqueued: 0, claimed: 0, finished: 0, failed: 0 };

/**
 * Rates a second, over the last minute. `samples` are ascending and end with what is totalled; `recent` is what came on top of that
 * within the minute. Where a sample lies just behind the minute its whole stretch is averaged; where it lies far behind, nothing came
 * in between but what the minute has.
 */
export function ratesOf(now: Micros, samples: readonly Sample[], recent: Totals): Totals {
  const base = samples.findLast(({ at }) => at <= now - RATE_SECONDS * SECOND);
  const last = samples.at(-1) ?? NOTHING;
  const elapsed = base === undefined ? Number.POSITIVE_INFINITY : (now - base.at) / SECOND;
  const seconds = elapsed <= LOOK_BACK_SECONDS ? elapsed : RATE_SECONDS;
  const rate = (of: keyof Totals) => (last[of] - (base ?? NOTHING)[of] + recent[of]) / seconds;
  return { enqueued: rate('enqueued'), claimed: rate('claimed'), finished: rate('finished'), failed: rate('failed') };
}
