import { describe, expect, it } from 'vitest';
import { LatestByJob } from '../../../src/engine/progress/latest-by-job.ts';
import { told } from './told.ts';

describe('the latest by job', () => {
  it.each([
    ['a later one of the same lease', told(1, 1), told(1, 2), true],
    ['one of the same time, which came later', told(1, 1), told(1, 1, { attempt: 2 }), true],
    ['an earlier one of the same lease', told(1, 2), told(1, 1), false],
    ['one of a later lease, whatever its time', told(1, 2), told(1, 1, { fence: 2n }), true],
    ['one of an earlier lease, whatever its time', told(1, 1, { fence: 2n }), told(1, 2), false],
  ])('is or is not %s', (_what, before, after, isTaken) => {
    const latest = new LatestByJob(10);
    latest.put(before);
    expect(latest.put(after)).toBe(isTaken);
    expect(latest.take(10)).toEqual([isTaken ? after : before]);
  });

  it('forgets the job that was told longest ago when there are too many', () => {
    const latest = new LatestByJob(2);
    for (const one of [told(1, 1), told(2, 2), told(1, 3), told(3, 4)]) latest.put(one);
    expect(latest.size).toBe(2);
    expect(latest.take(10)).toEqual([told(1, 3), told(3, 4)]);
  });

  it('gives what was told first before the others, each once', () => {
    const latest = new LatestByJob(10);
    for (const job of [1, 2, 3]) latest.put(told(job));
    expect(latest.take(2)).toEqual([told(1), told(2)]);
    expect(latest.take(2)).toEqual([told(3)]);
    expect(latest.take(2)).toEqual([]);
  });
});
