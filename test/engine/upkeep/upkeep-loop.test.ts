import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { UpkeepRound } from '../../../src/engine/ports/upkeep.ts';
import { UpkeepLoop } from '../../../src/engine/upkeep/upkeep-loop.ts';
import { settled } from '../lane.ts';

const NOW = 1_795_000_000_000_000;
const roundOf = (told: Partial<UpkeepRound> = {}): UpkeepRound => ({
  count: 0,
  more: false,
  nextDueAt: null,
  databaseTime: NOW,
  readyQueues: [],
  touchesKeys: false,
  ...told,
});

/** A loop whose rounds the test answers. */
class Rounds {
  running: { end: (round: UpkeepRound) => Promise<void>; fail: (error: Error) => Promise<void> } | null = null;
  begun = 0;
  readonly told: UpkeepRound[] = [];
  readonly failures: unknown[] = [];
  readonly loop: UpkeepLoop<UpkeepRound>;

  constructor(idleMs: number) {
    this.loop = new UpkeepLoop({
      round: () =>
        new Promise<UpkeepRound>((resolve, reject) => {
          this.begun += 1;
          const after = async (act: () => void) => {
            this.running = null;
            act();
            await settled();
          };
          this.running = { end: (round) => after(() => resolve(round)), fail: (error) => after(() => reject(error)) };
        }),
      onRound: (round) => this.told.push(round),
      onFailure: (error) => this.failures.push(error),
      idleMs,
    });
  }

  async end(told: Partial<UpkeepRound> = {}): Promise<void> {
    await this.running?.end(roundOf(told));
  }

  /** Rounds begun by the last instant of so many milliseconds, none of them a millisecond earlier. */
  async nextAfter(milliseconds: number): Promise<boolean> {
    const before = this.begun;
    vi.advanceTimersByTime(Math.max(0, milliseconds - 1));
    if (milliseconds > 0 && this.begun !== before) return false;
    vi.advanceTimersByTime(milliseconds === 0 ? 0 : 1);
    await settled();
    return this.begun === before + 1;
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function started(told: Partial<UpkeepRound> = {}, idleMs = 1_000): Promise<Rounds> {
  const rounds = new Rounds(idleMs);
  rounds.loop.start(0);
  expect(await rounds.nextAfter(0)).toBe(true);
  await rounds.end(told);
  return rounds;
}

describe('an upkeep loop', () => {
  it('runs nothing before its start, whatever is due', async () => {
    const rounds = new Rounds(1_000);
    rounds.loop.nudge(0);
    vi.advanceTimersByTime(10_000);
    await settled();
    expect(rounds.begun).toBe(0);
  });

  it('tells what each round did', async () => {
    const rounds = await started({ count: 3 });
    expect(rounds.told).toEqual([roundOf({ count: 3 })]);
  });

  it.each([
    { when: 'nothing is due', told: {}, afterMs: 1_000 },
    { when: 'something is due later than a second', told: { nextDueAt: NOW + 60_000_000 }, afterMs: 1_000 },
    { when: 'something is due sooner', told: { nextDueAt: NOW + 250_000 }, afterMs: 250 },
    { when: 'something is due in a fraction of a millisecond: not before it', told: { nextDueAt: NOW + 10_001 }, afterMs: 11 },
    { when: 'something is due already', told: { nextDueAt: NOW - 5 }, afterMs: 0 },
    { when: 'the batch was full', told: { more: true, nextDueAt: NOW + 900_000 }, afterMs: 0 },
  ])('runs again after $afterMs ms when $when', async ({ told, afterMs }) => {
    const rounds = await started(told);
    expect(await rounds.nextAfter(afterMs)).toBe(true);
  });

  it.each([
    { when: 'nothing is due', told: {} },
    { when: 'something is due after the next look, which will tell it', told: { nextDueAt: NOW + 60_000_000_000_000 } },
  ])('sleeps, where no round is to come unasked, when $when', async ({ told }) => {
    const rounds = await started(told, Number.POSITIVE_INFINITY);
    rounds.loop.nudge(60_000_000_000);
    expect(vi.getTimerCount()).toBe(0);
    rounds.loop.nudge(800);
    expect(await rounds.nextAfter(800)).toBe(true);
  });

  it('runs sooner when it is nudged, and only if that is sooner', async () => {
    const rounds = await started();
    rounds.loop.nudge(5_000);
    rounds.loop.nudge(300);
    rounds.loop.nudge(700);
    expect(await rounds.nextAfter(300)).toBe(true);
    await rounds.end();
    expect(await rounds.nextAfter(1_000)).toBe(true);
  });

  it('remembers a nudge that comes while a round runs', async () => {
    const rounds = await started();
    await rounds.nextAfter(1_000);
    rounds.loop.nudge(400);
    vi.advanceTimersByTime(100);
    await rounds.end();
    expect(await rounds.nextAfter(300)).toBe(true);
    await rounds.end();
    expect(await rounds.nextAfter(1_000)).toBe(true);
  });

  it('never runs two rounds at once', async () => {
    const rounds = await started();
    await rounds.nextAfter(1_000);
    rounds.loop.nudge(0);
    vi.advanceTimersByTime(10_000);
    await settled();
    expect(rounds.begun).toBe(2);
    await rounds.end();
    expect(await rounds.nextAfter(0)).toBe(true);
  });

  it('tells a failure and goes on after a second, however due it is', async () => {
    const rounds = await started({ nextDueAt: NOW + 100_000 });
    await rounds.nextAfter(100);
    rounds.loop.nudge(0);
    const failure = new Error('away');
    await rounds.running?.fail(failure);
    expect(rounds.failures).toEqual([failure]);
    expect(await rounds.nextAfter(1_000)).toBe(true);
  });

  it('stops for good: no timer is left, a nudge starts nothing', async () => {
    const rounds = await started();
    await rounds.loop.stop();
    rounds.loop.nudge(0);
    expect(vi.getTimerCount()).toBe(0);
    expect(rounds.begun).toBe(1);
  });

  it('waits at its stop for the round that runs, and begins no other', async () => {
    const rounds = await started();
    await rounds.nextAfter(1_000);
    let stopped = false;
    const stop = rounds.loop.stop().then(() => (stopped = true));
    await settled();
    expect(stopped).toBe(false);
    await rounds.end({ more: true });
    await stop;
    expect(vi.getTimerCount()).toBe(0);
    expect(rounds.begun).toBe(2);
  });
});
