import type { Failure, RetryOverrides } from './job.ts';

/** When and how often a failed attempt is tried again. */
export interface RetryPolicy {
  /** Total tries, the first included. */
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly multiplier: number;
  readonly maxBackoffMs: number;
  readonly jitter: boolean;
  readonly nonRetryableCodes: readonly string[];
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxAttempts: 10,
  initialBackoffMs: 1_000,
  multiplier: 2,
  maxBackoffMs: 600_000,
  jitter: true,
  nonRetryableCodes: [],
};

export function effectivePolicy(overrides: RetryOverrides, queue: RetryPolicy): RetryPolicy {
  return {
    maxAttempts: overrides.maxAttempts ?? queue.maxAttempts,
    initialBackoffMs: overrides.initialBackoffMs ?? queue.initialBackoffMs,
    multiplier: overrides.multiplier ?? queue.multiplier,
    maxBackoffMs: overrides.maxBackoffMs ?? queue.maxBackoffMs,
    jitter: overrides.jitter ?? queue.jitter,
    nonRetryableCodes: overrides.nonRetryableCodes ?? queue.nonRetryableCodes,
  };
}

/** exp() of this times any allowed backoff still is a finite double; max_backoff has won long before. */
export const MAX_BACKOFF_EXPONENT = 600;

/**
 * Milliseconds to wait after the n-th spent attempt (n ≥ 1): min(max, initial · multiplier^(n−1)), times a random
 * factor in [0.5, 1) where jitter is on ("equal jitter", Brooker, "Exponential Backoff and Jitter", 2015).
 * `repository/retry-delay.ts` is the same formula in SQL.
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, jitterFactor: number): number {
  const exponent = Math.min((attempt - 1) * Math.log(policy.multiplier), MAX_BACKOFF_EXPONENT);
  const base = Math.min(policy.maxBackoffMs, policy.initialBackoffMs * Math.exp(exponent));
  return policy.jitter ? base * jitterFactor : base;
}

export function mayRetry(policy: RetryPolicy, attempt: number, failure: Failure): boolean {
  return failure.kind === 'RETRYABLE' && !policy.nonRetryableCodes.includes(failure.code) && attempt < policy.maxAttempts;
}
