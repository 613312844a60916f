import { describe, expect, it } from 'vitest';
import { DEFAULT_RETRY_POLICY, effectivePolicy, mayRetry, retryDelayMs } from '../../src/domain/retry.ts';

const policy = { ...DEFAULT_RETRY_POLICY, jitter: false };

describe('the retry delay', () => {
  it.each([
    { attempt: 1, expected: 1_000 },
    { attempt: 2, expected: 2_000 },
    { attempt: 5, expected: 16_000 },
    { attempt: 11, expected: 600_000 },
    { attempt: 1_000_000, expected: 600_000 },
  ])('after attempt $attempt is $expected ms', ({ attempt, expected }) => {
    expect(retryDelayMs(policy, attempt, 0.5)).toBeCloseTo(expected, 6);
  });

  it('is shortened by at most half where jitter is on', () => {
    expect(retryDelayMs({ ...policy, jitter: true }, 2, 0.5)).toBeCloseTo(1_000, 6);
    expect(retryDelayMs({ ...policy, jitter: true }, 2, 0.999)).toBeLessThan(2_000);
  });

  it('stays the same with a multiplier of one', () => {
    expect(retryDelayMs({ ...policy, multiplier: 1 }, 50, 0.5)).toBeCloseTo(1_000, 6);
  });
});

describe('whether a failure is tried again', () => {
  const failed = (code: string, kind: 'RETRYABLE' | 'TERMINAL') => ({ code, message: '', details: new Uint8Array(), kind });

  it.each([
    { why: 'attempts are left', attempt: 9, failure: failed('x', 'RETRYABLE'), expected: true },
    { why: 'the last attempt is spent', attempt: 10, failure: failed('x', 'RETRYABLE'), expected: false },
    { why: 'the worker says so', attempt: 1, failure: failed('x', 'TERMINAL'), expected: false },
    { why: 'the policy names its code', attempt: 1, failure: failed('bad', 'RETRYABLE'), expected: false },
  ])('$expected when $why', ({ attempt, failure, expected }) => {
    expect(mayRetry({ ...policy, nonRetryableCodes: ['bad'] }, attempt, failure)).toBe(expected);
  });

  it('takes what a job leaves open from its queue', () => {
    const open = { maxAttempts: null, initialBackoffMs: null, multiplier: null, maxBackoffMs: null, jitter: null, nonRetryableCodes: null };
    expect(effectivePolicy(open, policy)).toEqual(policy);
    expect(effectivePolicy({ ...open, maxAttempts: 3, jitter: true }, policy)).toMatchObject({
      maxAttempts: 3,
      jitter: true,
      multiplier: 2,
    });
  });
});
