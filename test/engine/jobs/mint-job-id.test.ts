import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { jobIdTimeMs, parseJobId } from '../../../src/domain/job.ts';
import { JobIdMint } from '../../../src/engine/jobs/mint-job-id.ts';

const NOON_MS = Date.UTC(2026, 10, 20, 12);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOON_MS });
});
afterEach(() => {
  vi.useRealTimers();
});

const isRising = (ids: readonly string[]) => ids.every((id, index) => index === 0 || (ids[index - 1] ?? '') < id);

describe('a minted id', () => {
  it('is a lowercase UUIDv7 of the present millisecond', () => {
    const id = new JobIdMint().mint();
    expect(parseJobId(id)).toBe(id);
    expect(jobIdTimeMs(id)).toBe(NOON_MS);
  });

  it('has 62 random bits: no two mints tell the same', () => {
    const tails = new Set(Array.from({ length: 2_000 }, () => new JobIdMint().mint().slice(19)));
    expect(tails.size).toBe(2_000);
    for (const variant of ['8', '9', 'a', 'b']) expect([...tails].some((tail) => tail.startsWith(variant))).toBe(true);
  });

  it('follows the time of the database, not that of this machine', () => {
    const mint = new JobIdMint();
    mint.setDatabaseTime((NOON_MS + 5_000) * 1_000);
    expect(mint.databaseTimeMs()).toBe(NOON_MS + 5_000);
    expect(jobIdTimeMs(mint.mint())).toBe(NOON_MS + 5_000);
    vi.setSystemTime(NOON_MS + 70);
    expect(jobIdTimeMs(mint.mint())).toBe(NOON_MS + 5_070);
  });
});

describe('the ids of one mint', () => {
  it('rise strictly, however many are minted in a millisecond', () => {
    const mint = new JobIdMint();
    const ids = Array.from({ length: 20_000 }, () => mint.mint());
    expect(isRising(ids)).toBe(true);
    // 4,096 to a millisecond: the rest borrow from the next ones.
    expect(jobIdTimeMs(ids.at(-1) ?? mint.mint()) - NOON_MS).toBeLessThanOrEqual(5);
  });

  it('rise strictly however the clocks jump', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            count: fc.integer({ min: 1, max: 3_000 }),
            clockMs: fc.integer({ min: -5_000, max: 5_000 }),
            databaseMs: fc.option(fc.integer({ min: -9_000, max: 9_000 })),
          }),
          { maxLength: 8 },
        ),
        (steps) => {
          vi.setSystemTime(NOON_MS);
          const mint = new JobIdMint();
          const ids: string[] = [];
          for (const { count, clockMs, databaseMs } of steps) {
            vi.setSystemTime(Date.now() + clockMs);
            if (databaseMs !== null) mint.setDatabaseTime((NOON_MS + databaseMs) * 1_000 + 0.5);
            for (let minted = 0; minted < count; minted += 1) ids.push(mint.mint());
          }
          expect(isRising(ids)).toBe(true);
          expect(ids.every((id) => parseJobId(id) !== null)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });
});
