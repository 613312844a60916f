import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FairPlace, FairSweep } from '../../../src/engine/ports/upkeep.ts';
import { fairSweeper, SWEEP_INTERVAL_MS } from '../../../src/engine/upkeep/fair-sweep.ts';
import { settled } from '../lane.ts';

const place = (queueId: number): FairPlace => ({ queueId, rank: 0n, key: 'k' });

function sweeperOf(answers: readonly (FairSweep | Error)[]) {
  const asked: (FairPlace | null)[] = [];
  const failures: unknown[] = [];
  const sweeper = fairSweeper({
    repository: {
      sweepFairKeys: async (after) => {
        const answer = answers[asked.push(after) - 1] ?? { swept: 0, next: null };
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    onFailure: (error) => failures.push(error),
  });
  return { sweeper, asked, failures };
}

async function pass(milliseconds: number): Promise<void> {
  vi.advanceTimersByTime(milliseconds);
  await settled();
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the sweep of fairness keys', () => {
  it('looks at a page in its time, and goes on where it stopped', async () => {
    const { sweeper, asked } = sweeperOf([{ swept: 0, next: place(7) }]);
    sweeper.start(SWEEP_INTERVAL_MS);
    await pass(SWEEP_INTERVAL_MS - 1);
    expect(asked).toEqual([]);
    await pass(1);
    await pass(SWEEP_INTERVAL_MS);
    await pass(SWEEP_INTERVAL_MS);
    expect(asked).toEqual([null, place(7), null]);
    await sweeper.stop();
  });

  it('takes the next page at once while there is something to forget', async () => {
    const { sweeper, asked } = sweeperOf([
      { swept: 9, next: place(1) },
      { swept: 9, next: place(2) },
      { swept: 9, next: null },
    ]);
    sweeper.start(SWEEP_INTERVAL_MS);
    await pass(SWEEP_INTERVAL_MS);
    await pass(0);
    await pass(0);
    await pass(0);
    expect(asked).toEqual([null, place(1), place(2)]);
    await sweeper.stop();
  });

  it('outlives a failure, tells it, and tries the same page again', async () => {
    const { sweeper, asked, failures } = sweeperOf([{ swept: 0, next: place(1) }, new Error('away')]);
    sweeper.start(SWEEP_INTERVAL_MS);
    for (let round = 0; round < 3; round += 1) await pass(SWEEP_INTERVAL_MS);
    expect(asked).toEqual([null, place(1), place(1)]);
    expect(failures).toEqual([new Error('away')]);
    await sweeper.stop();
  });

  it('ends with stop', async () => {
    const { sweeper, asked } = sweeperOf([]);
    sweeper.start(SWEEP_INTERVAL_MS);
    await sweeper.stop();
    await pass(SWEEP_INTERVAL_MS * 3);
    expect(asked).toEqual([]);
  });
});
