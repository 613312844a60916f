import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDoorbell } from '../../src/repository/doorbell.ts';

const GAP_MS = 10;

describe('the doorbell', () => {
  let rings = 0;
  const run = () => {
    rings += 1;
    return Promise.resolve([]);
  };
  beforeEach(() => {
    rings = 0;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => vi.useRealTimers());

  it('rings at once after a quiet time, and then once in a while, however much is committed', async () => {
    const { ring, close } = createDoorbell('postgres://nobody', { run });
    ring();
    ring();
    await vi.advanceTimersByTimeAsync(1);
    expect(rings).toBe(1);
    for (let commits = 0; commits < 100; commits += 1) ring();
    await vi.advanceTimersByTimeAsync(GAP_MS - 2);
    expect(rings).toBe(1);
    await vi.advanceTimersByTimeAsync(2);
    expect(rings).toBe(2);
    await vi.advanceTimersByTimeAsync(GAP_MS);
    ring();
    await vi.advanceTimersByTimeAsync(1);
    expect(rings).toBe(3);
    await close();
  });
});
