/** One try at a job, from its claim to its end. */
import { EVENT_CODES } from './event.ts';
import type { Failure, Micros } from './job.ts';
import { LEASE_EXPIRED } from './lease.ts';

export const ATTEMPT_OUTCOMES = [
  'IN_FLIGHT',
  'SUCCEEDED',
  'FAILED',
  'RELEASED',
  'SUSPENDED',
  'EXPIRED',
  'TIMED_OUT',
  'CANCELLED',
  'ABANDONED',
] as const;

export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

export interface Attempt {
  readonly workerId: string;
  readonly fence: bigint;
  /** Its number in its life; a refunded one gives its number to the next. */
  readonly attempt: number;
  readonly life: number;
  readonly claimedAt: Micros;
  readonly startedAt: Micros | null;
  /** Null while it is in flight. */
  readonly endedAt: Micros | null;
  readonly outcome: AttemptOutcome;
  readonly failure: Failure | null;
  /** When the job was due again, where it was to be tried again. */
  readonly retryAt: Micros | null;
  /** What was said at a suspension, a cancellation or an abandonment. */
  readonly reason: string;
}

/** How a try ended, as it is stored. */
export interface AttemptEnd {
  /** Code of the event that told it. */
  readonly type: number;
  /** Whether its holder ended it. */
  readonly isSettled: boolean;
  /** Empty where nothing failed. */
  readonly failureCode: string;
}

const TIMEOUT_CODES = 'stint.timeout.';

/** A null end is that of a try in flight. */
export function attemptOutcome(end: AttemptEnd | null): AttemptOutcome {
  switch (end?.type) {
    case undefined:
      return 'IN_FLIGHT';
    case EVENT_CODES.succeeded:
      return 'SUCCEEDED';
    case EVENT_CODES.released:
      return 'RELEASED';
    case EVENT_CODES.suspended:
      return 'SUSPENDED';
    case EVENT_CODES.cancelled:
      return 'CANCELLED';
    case EVENT_CODES.abandoned:
      return 'ABANDONED';
    case EVENT_CODES.retry_scheduled:
    case EVENT_CODES.failed:
      return end === null || end.isSettled ? 'FAILED' : outcomeOfFailure(end.failureCode);
    default:
      throw new Error(`a try ended with an event of code ${end?.type}, unknown to this version`);
  }
}

/** Of a try that nobody settled. */
function outcomeOfFailure(code: string): AttemptOutcome {
  if (code === LEASE_EXPIRED.code) return 'EXPIRED';
  return code.startsWith(TIMEOUT_CODES) ? 'TIMED_OUT' : 'FAILED';
}
