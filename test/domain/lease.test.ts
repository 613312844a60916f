import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJobId, type JobId } from '../../src/domain/job.ts';
import { formatLeaseToken, isLive, nextFence, parseLeaseToken } from '../../src/domain/lease.ts';

const jobId = '01a1fb5e-e217-7349-b468-5e8690cb60b6' as JobId;

describe('a lease token', () => {
  it('comes back as what it was', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (fence) => {
        const token = { shard: 0, jobId, fence, secret: randomUUID() };
        expect(parseLeaseToken(formatLeaseToken(token))).toEqual(token);
      }),
    );
  });

  it('is none where anything is added, cut or changed into what was never written', () => {
    const text = formatLeaseToken({ shard: 0, jobId, fence: 7n, secret: randomUUID() });
    for (const wrong of ['', 'x', text.slice(1), `${text}A`, `${text}=`, ` ${text}`, text.replace(/^../, '__')]) {
      expect(parseLeaseToken(wrong), wrong).toBeNull();
    }
    fc.assert(
      fc.property(fc.string(), (noise) => {
        expect(parseLeaseToken(noise)).toBeNull();
      }),
    );
  });
});

describe('a lease', () => {
  it('is live until its expiry and grace, and not at that instant', () => {
    const lease = { expiresAt: 1_000_000, graceMs: 5, cancelDeadline: null, runUntil: null, lifeUntil: null };
    expect(isLive(lease, 1_004_999)).toBe(true);
    expect(isLive(lease, 1_005_000)).toBe(false);
  });

  it.each(['cancelDeadline', 'runUntil', 'lifeUntil'] as const)('ends at its %s, without grace', (bound) => {
    const lease = { expiresAt: 1_000_000, graceMs: 5, cancelDeadline: null, runUntil: null, lifeUntil: null, [bound]: 900_000 };
    expect(isLive(lease, 899_999)).toBe(true);
    expect(isLive(lease, 900_000)).toBe(false);
  });

  it('has a fence above every earlier one, also in a later epoch', () => {
    expect(nextFence(0n, 3)).toBe(3n << 32n);
    expect(nextFence(3n << 32n, 3)).toBe((3n << 32n) + 1n);
    expect(nextFence((3n << 32n) + 9n, 4)).toBe(4n << 32n);
  });
});

describe('a job id', () => {
  it.each(['', 'x', jobId.toUpperCase(), '01a1fb5e-e217-4349-b468-5e8690cb60b6', '01a1fb5e-e217-7349-c468-5e8690cb60b6', `${jobId}0`])(
    'is not %j',
    (text) => {
      expect(parseJobId(text)).toBeNull();
    },
  );
});
