import { describe, expect, it } from 'vitest';
import { Fifo } from '../../src/engine/fifo.ts';

describe('a fifo', () => {
  it('gives in order what it was given, however the two take turns', () => {
    const fifo = new Fifo<number>();
    const taken: (number | undefined)[] = [];
    let given = 0;
    for (const [pushes, takes] of [
      [1, 1],
      [5, 2],
      [0, 3],
      [100, 60],
      [3, 1],
      [0, 42],
    ] as const) {
      for (let count = 0; count < pushes; count += 1) fifo.push((given += 1));
      for (let count = 0; count < takes; count += 1) {
        taken.push(fifo.first);
        fifo.take();
        expect(fifo.size).toBe(given - taken.length);
      }
    }
    expect(taken).toEqual(Array.from({ length: given }, (_, index) => index + 1));
    expect(fifo.first).toBeUndefined();
    fifo.take();
    fifo.push(7);
    expect([fifo.first, fifo.size]).toEqual([7, 1]);
  });
});
