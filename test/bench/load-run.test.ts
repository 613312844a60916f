import { expect, it } from 'vitest';
import { LoadRun } from '../../bench/load-run.ts';
import type { Turn } from '../../bench/route.ts';

/** Turns that end when the test says so. */
function turns() {
  const open: ((turn: Turn) => void)[] = [];
  const failures: ((error: Error) => void)[] = [];
  const turn = () =>
    new Promise<Turn>((resolve, reject) => {
      open.push(resolve);
      failures.push(reject);
    });
  const end = async (done: Turn) => {
    open.shift()?.(done);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { turn, end, fail: (error: Error) => failures[0]?.(error) };
}

it('tells the times of the turns between its marks only', async () => {
  const { turn, end } = turns();
  const run = new LoadRun(1, turn);
  await end({ jobs: 5, tookMs: 1 });
  expect(run.mark()).toMatchObject({ jobs: 5, ranDry: false });
  await end({ jobs: 7, tookMs: 2 });
  expect(run.mark()).toMatchObject({ jobs: 12 });
  const stopped = run.stop();
  await end({ jobs: 1, tookMs: 3 });
  expect(await stopped).toEqual([2]);
});

it('notices a backlog that ran dry', async () => {
  const { turn, end } = turns();
  const run = new LoadRun(2, turn);
  await end({ jobs: 0, tookMs: 1 });
  expect(run.mark().ranDry).toBe(true);
});

it('fails with what a caller met', async () => {
  const { turn, fail } = turns();
  const run = new LoadRun(1, turn);
  fail(new Error('refused'));
  await expect(run.stop()).rejects.toThrow('refused');
});
