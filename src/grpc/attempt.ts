import type { Attempt } from '../domain/attempt.ts';
import { type Attempt as WireAttempt, AttemptOutcome } from '../../gen/stint/v1/job.ts';
import { optionalTimestamp, timestamp, wireFailure } from './encode.ts';

export function wireAttempt(attempt: Attempt): WireAttempt {
  return {
    workerId: attempt.workerId,
    fence: attempt.fence,
    attempt: attempt.attempt,
    life: attempt.life,
    claimedAt: timestamp(attempt.claimedAt),
    startedAt: optionalTimestamp(attempt.startedAt),
    endedAt: optionalTimestamp(attempt.endedAt),
    outcome: AttemptOutcome[attempt.outcome],
    failure: attempt.failure === null ? undefined : wireFailure(attempt.failure),
    retryAt: optionalTimestamp(attempt.retryAt),
    reason: attempt.reason,
  };
}
