import { describe, expect, it } from 'vitest';
import { drainTimeMs, isDrained, type JobCounts } from '../../src/domain/queue.ts';

const NOTHING: JobCounts = { scheduled: 0, blocked: 0, ready: 0, leased: 0, running: 0, retryWait: 0, suspended: 0 };

describe('a draining queue', () => {
  it.each<[keyof JobCounts, boolean, boolean]>([
    ['scheduled', true, true],
    ['ready', false, true],
    ['leased', false, false],
    ['running', false, false],
    ['retryWait', false, true],
    ['suspended', true, true],
  ])('with a job that is %s left is drained of its backlog: %s, of what is in flight: %s', (state, ofBacklog, ofInFlight) => {
    const counts = { ...NOTHING, [state]: 1 };
    expect(isDrained('DRAINING_BACKLOG', counts)).toBe(ofBacklog);
    expect(isDrained('DRAINING_IN_FLIGHT', counts)).toBe(ofInFlight);
  });
});

describe('how long a producer waits for a place', () => {
  it.each([
    ['as long as one job takes to leave', 4, 250],
    ['rounded up', 3, 334],
    ['no shorter than a tenth of a second', 5_000, 100],
    ['no longer than a minute', 0.001, 60_000],
    ['some seconds where nothing has left', 0, 5_000],
  ])('is %s', (_how, jobsPerSecond, waitMs) => {
    expect(drainTimeMs(jobsPerSecond)).toBe(waitMs);
  });
});
