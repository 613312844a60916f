import { describe, expect, it } from 'vitest';
import { SharedLook } from '../../src/feed/shared-look.ts';

/** Looks that end when the test says so, each with its number. */
function looks() {
  const ends: ((fails?: Error) => void)[] = [];
  const shared = new SharedLook(() => {
    const number = ends.length + 1;
    return new Promise<number>((resolve, reject) => {
      ends.push((error) => (error === undefined ? resolve(number) : reject(error)));
    });
  });
  const end = async (number: number, error?: Error) => {
    ends[number - 1]?.(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { shared, end, begun: () => ends.length };
}

describe('a shared look', () => {
  it('answers with nothing that was seen by a look from before the question', async () => {
    const { shared, end, begun } = looks();
    const first = shared.ask();
    const others = [shared.ask(), shared.ask(), shared.ask()];
    expect(begun()).toBe(1);
    await end(1);
    expect(begun()).toBe(2);
    const late = shared.ask();
    await end(2);
    await end(3);
    expect([await first, await Promise.all(others), await late]).toEqual([1, [2, 2, 2], 3]);
    expect(begun()).toBe(3);
  });

  it('is one at a time, also for one who asks as it ends', async () => {
    const { shared, end, begun } = looks();
    const asIt = shared.ask().then(() => shared.ask());
    const second = shared.ask();
    await end(1);
    expect(begun()).toBe(2);
    await end(2);
    expect([await second, await asIt]).toEqual([2, 2]);
  });

  it('that fails is looked again for those who came meanwhile', async () => {
    const { shared, end } = looks();
    const first = expect(shared.ask()).rejects.toThrow('broken');
    const second = shared.ask();
    await end(1, new Error('broken'));
    await end(2);
    await first;
    expect(await second).toBe(2);
  });
});
