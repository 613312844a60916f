import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import { ProgressBoard, type ProgressWatch } from '../../../src/engine/progress/progress-board.ts';
import { jobId, told } from './told.ts';

const EVERYTHING = { kind: 'everything', namespace: 'n' } as const;

function takeAll(follower: ProgressWatch) {
  const taken = [];
  for (let part = follower.take(); part.length > 0; part = follower.take()) taken.push(...part);
  return taken;
}

describe('the board', () => {
  it('tells each scope what is of it', () => {
    const board = new ProgressBoard();
    const job = board.follow({ kind: 'job', jobId: jobId(1) });
    const queue = board.follow({ kind: 'queue', namespace: 'n', queue: 'q' });
    const everything = board.follow(EVERYTHING);
    const other = board.follow({ kind: 'everything', namespace: 'other' });
    const all = [told(1), told(2), told(3, 1, { queue: 'r' }), told(4, 1, { namespace: 'm' })];
    board.tell(all);
    expect([job, queue, everything, other].map(takeAll)).toEqual([[all[0]], all.slice(0, 2), all.slice(0, 3), []]);
  });

  it('keeps the newest of a thousand jobs for one who does not read, and gives a message of it at a time', () => {
    const board = new ProgressBoard();
    const follower = board.follow(EVERYTHING);
    const jobs = Array.from({ length: 1_500 }, (_, index) => index);
    for (const at of [1, 2]) board.tell(jobs.map((job) => told(job, at)));
    expect(follower.take()).toHaveLength(LIMITS.progressPerMessage);
    const rest = takeAll(follower);
    expect(rest).toHaveLength(1_000 - LIMITS.progressPerMessage);
    expect(rest.at(-1)).toEqual(told(1_499, 2));
  });

  it('does not take for news what is older than what it told, whoever tells it later', () => {
    const board = new ProgressBoard();
    const follower = board.follow(EVERYTHING);
    board.tell([told(1, 5)]);
    takeAll(follower);
    board.tell([told(1, 4), told(1, 9, { fence: 0n })]);
    expect(takeAll(follower)).toEqual([]);
  });

  it('is idle before the first and after the last has gone, and holds nothing of what is told then', () => {
    const board = new ProgressBoard();
    expect(board.isIdle).toBe(true);
    board.tell([told(1, 5)]);
    const [one, other] = [board.follow(EVERYTHING), board.follow(EVERYTHING)];
    one.close();
    one.close();
    expect(board.isIdle).toBe(false);
    other.close();
    expect(board.isIdle).toBe(true);
    const late = board.follow(EVERYTHING);
    board.tell([told(1, 1)]);
    expect(takeAll(late)).toEqual([told(1, 1)]);
  });

  it('wakes who waits for news, at once where there is some already', async () => {
    const board = new ProgressBoard();
    const follower = board.follow(EVERYTHING);
    const never = new AbortController().signal;
    const woken = follower.news(never);
    board.tell([told(1)]);
    await woken;
    await follower.news(never);
    takeAll(follower);
    const left = new AbortController();
    const waiting = follower.news(left.signal);
    left.abort();
    await waiting;
  });
});
