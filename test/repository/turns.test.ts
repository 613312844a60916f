import { describe, expect, it } from 'vitest';
import { Turns } from '../../src/repository/turns.ts';

describe('turns', () => {
  it('come in the order in which they were asked for, so many at once', async () => {
    const turns = new Turns({ atOnce: 2, limitMs: 60_000 });
    const order: string[] = [];
    const enter = async (name: string) => {
      expect(await turns.take()).toBe(true);
      order.push(name);
    };
    await Promise.all([enter('a'), enter('b')]);
    const waiting = [enter('c'), enter('d')];
    turns.release();
    await waiting[0];
    expect(order).toEqual(['a', 'b', 'c']);
    turns.release();
    await waiting[1];
    for (let held = 2; held > 0; held -= 1) turns.release();
    await Promise.all([enter('e'), enter('f')]);
    expect(order).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('are given up when the time is up, and taken from nobody else', async () => {
    const turns = new Turns({ atOnce: 1, limitMs: 1 });
    expect(await turns.take()).toBe(true);
    expect(await turns.take()).toBe(false);
    turns.release();
    expect(await turns.take()).toBe(true);
  });
});
