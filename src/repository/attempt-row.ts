/** Tries as rows: those that have ended, and the one in flight, alike. */
import { sql } from 'drizzle-orm';
import { attemptOutcome, type Attempt, type AttemptEnd } from '../domain/attempt.ts';
import { EVENT_CODES } from '../domain/event.ts';
import { failureOrNull, int, int8, instant, instantOrNull, text, textOrNull, type Row } from './row.ts';

/** Columns of a row `a` of `attempt`, for `parseAttempt`. */
export const endedAttemptColumns = sql`a.worker, a.fence, a.attempt, a.life, a.claimed_at, a.started_at, a.ended_at, a.ended_type,
  a.settlement, a.failure, a.due_at, a.reason`;

/** The same of a row `l` of `lease`. */
export const heldAttemptColumns = sql`l.worker, l.fence, l.attempt, l.life, l.claimed_at, l.started_at, null::timestamptz as ended_at,
  null::smallint as ended_type, null::text as settlement, null::jsonb as failure, null::timestamptz as due_at, null::text as reason`;

export function parseAttempt(row: Row): Attempt {
  const failure = failureOrNull(row, 'failure');
  const end = row['ended_type'] === null ? null : endOf(row, failure?.code ?? '');
  return {
    workerId: text(row, 'worker'),
    fence: int8(row, 'fence'),
    attempt: int(row, 'attempt'),
    life: int(row, 'life'),
    claimedAt: instant(row, 'claimed_at'),
    startedAt: instantOrNull(row, 'started_at'),
    endedAt: instantOrNull(row, 'ended_at'),
    outcome: attemptOutcome(end),
    failure,
    // A release with a delay is no retry: nothing failed.
    retryAt: end?.type === EVENT_CODES.retry_scheduled ? instantOrNull(row, 'due_at') : null,
    reason: textOrNull(row, 'reason') ?? '',
  };
}

function endOf(row: Row, failureCode: string): AttemptEnd {
  return { type: int(row, 'ended_type'), isSettled: row['settlement'] !== null, failureCode };
}
