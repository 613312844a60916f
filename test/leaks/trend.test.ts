import { describe, expect, it } from 'vitest';
import { trendOf } from './trend.ts';

const line = (slope: number, noise: (x: number) => number) =>
  Array.from({ length: 100 }, (_, x) => ({ x, y: 1_000 + slope * x + noise(x) }));
/** Up and down, without a trend of its own. */
const ripple = (x: number) => 50 * Math.sin(x * 1.7);

describe('a trend', () => {
  it('is exact of a line', () => {
    expect(trendOf(line(3, () => 0))).toMatchObject({ slope: expect.closeTo(3), low: expect.closeTo(3), high: expect.closeTo(3) });
  });

  it('holds the true slope within its bounds where there is noise', () => {
    const { low, high } = trendOf(line(3, ripple));
    expect(low).toBeLessThan(3);
    expect(high).toBeGreaterThan(3);
    expect(low).toBeGreaterThan(0);
  });

  it('tells noise from a rise', () => {
    const { low, high } = trendOf(line(0, ripple));
    expect(low).toBeLessThan(0);
    expect(high).toBeGreaterThan(0);
  });

  it('agrees with a worked example', () => {
    // x 1..5, y 2 4 5 4 5: slope 0.6, residual sum 2.4, t(3) = 3.182 by the table.
    const { slope, high } = trendOf([2, 4, 5, 4, 5].map((y, index) => ({ x: index + 1, y })));
    expect(slope).toBeCloseTo(0.6);
    expect(high - slope).toBeGreaterThan(0.95 * 3.182 * Math.sqrt(0.8 / 10));
    expect(high - slope).toBeLessThan(3.182 * Math.sqrt(0.8 / 10));
  });

  it('is none of two points', () => {
    expect(trendOf(line(1, () => 0).slice(0, 2)).slope).toBeNaN();
  });
});
