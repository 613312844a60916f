import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LeaseRound, UpkeepDue, UpkeepRound } from '../../../src/engine/ports/upkeep.ts';
import { Upkeep } from '../../../src/engine/upkeep/upkeep.ts';
import { settled } from '../lane.ts';

const round = (count: number): LeaseRound => {
  const done = { timedOut: 1, cancelled: 1, abandoned: 1, retried: 0, deadLettered: 0 };
  return { count, more: false, nextDueAt: null, databaseTime: 0, readyQueues: [], touchesKeys: false, ...done };
};

const NOW = 1_795_000_000_000_000;
const NOTHING_DUE: UpkeepDue = { promoteAt: null, leaseEndsAt: null, timeOutAt: null, unblockAt: null, foldAt: null, databaseTime: NOW };
const ALL_DUE: UpkeepDue = { promoteAt: NOW, leaseEndsAt: NOW - 1, timeOutAt: NOW, unblockAt: NOW, foldAt: NOW, databaseTime: NOW };

type Asked =
  | 'nextDue'
  | 'promoteDue'
  | 'expireLeases'
  | 'timeOut'
  | 'unblock'
  | 'foldJournal'
  | 'pruneExpired'
  | 'dropPartitions'
  | 'ensurePartitions';

function upkeepOf(
  told: Partial<Record<Exclude<Asked, 'pruneExpired'>, () => Promise<never>>> & { readonly pruneExpired?: () => Promise<UpkeepRound> } = {},
) {
  const now = { due: NOTHING_DUE };
  const looks: true[] = [];
  const asked: string[] = [];
  const rounds: UpkeepRound[] = [];
  const failures: unknown[] = [];
  const note = (name: string, answer: LeaseRound) => async () => {
    asked.push(name);
    return answer;
  };
  const upkeep = new Upkeep({
    repository: {
      nextDue: async () => now.due,
      promoteDue: note('promote', round(2)),
      expireLeases: note('expire', round(5)),
      timeOut: note('time out', round(3)),
      unblock: async () => ({ ...(await note('unblock', round(1))()), jobs: [] }),
      sweepFairKeys: async () => (asked.push('fair keys'), { swept: 0, next: null }),
      pruneExpired: note('prune', round(4)),
      dropPartitions: async () => asked.push('drop'),
      keepLean: async () => undefined,
      foldJournal: note('fold', round(4)),
      ensurePartitions: async () => void asked.push('partitions'),
      ...told,
    },
    onLook: () => looks.push(true),
    onRound: (one) => rounds.push(one),
    onFailure: (what, error) => failures.push([what, error]),
  });
  return { upkeep, asked, rounds, failures, looks, now };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function pass(milliseconds: number): Promise<void> {
  vi.advanceTimersByTime(milliseconds);
  await settled();
}

/** A look, and what it finds due at once. */
async function passLook(): Promise<void> {
  await pass(0);
  await pass(0);
}

describe('upkeep', () => {
  it('makes partitions before anything else, and again every hour', async () => {
    const { upkeep, asked, now } = upkeepOf();
    now.due = ALL_DUE;
    await upkeep.start();
    expect(asked).toEqual(['partitions']);
    await passLook();
    expect(asked).toEqual(['partitions', 'promote', 'expire', 'time out', 'unblock', 'fold']);
    for (let minute = 0; minute < 61; minute += 1) await pass(60_000);
    expect(asked.filter((one) => one === 'partitions')).toHaveLength(2);
    await upkeep.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not start without partitions', async () => {
    const { upkeep, asked } = upkeepOf({ ensurePartitions: async () => Promise.reject(new Error('away')) });
    await expect(upkeep.start()).rejects.toThrow('away');
    expect(asked).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('runs one round of each on demand, and tells the counts', async () => {
    const { upkeep, asked, rounds } = upkeepOf();
    expect(await upkeep.runNow()).toEqual({ promoted: 2, expired: 2, timedOut: 4, cancelled: 1, abandoned: 1, unblocked: 1, pruned: 4 });
    expect(asked).toEqual(['promote', 'expire', 'time out', 'unblock', 'prune', 'drop', 'fold']);
    expect(rounds).toEqual([round(2), round(5), round(3), { ...round(1), jobs: [] }, round(4)]);
  });

  it('looks once a minute for what has been over for long enough, again at once while a batch was full, and each hour for partitions', async () => {
    let rounds = 0;
    const { upkeep, asked } = upkeepOf({ pruneExpired: async () => Promise.resolve({ ...round(500), more: ++rounds === 1 }) });
    await upkeep.start();
    await pass(59_999);
    expect(rounds).toBe(0);
    await pass(1);
    await pass(0);
    expect(rounds).toBe(2);
    await pass(59_999);
    expect(rounds).toBe(2);
    await pass(1);
    expect(rounds).toBe(3);
    for (let minute = 0; minute < 59; minute += 1) await pass(60_000);
    expect(asked.filter((one) => one === 'drop')).toHaveLength(1);
    await upkeep.stop();
  });

  it('ends a lease sooner when its cancellation is due, and leaves the others alone', async () => {
    const { upkeep, asked } = upkeepOf();
    await upkeep.start();
    await pass(0);
    upkeep.leaseEndsIn(200);
    await pass(200);
    expect(asked.slice(1)).toEqual(['expire']);
    await upkeep.stop();
  });

  it('promotes sooner when a job is due, and leaves the others alone', async () => {
    const { upkeep, asked } = upkeepOf();
    await upkeep.start();
    await pass(0);
    upkeep.dueIn(200);
    await pass(200);
    expect(asked.slice(1)).toEqual(['promote']);
    await upkeep.stop();
  });

  it('looks every second, at the fairness keys every ten, and runs no round while nothing is due', async () => {
    const { upkeep, asked, looks } = upkeepOf();
    await upkeep.start();
    await pass(0);
    for (let second = 0; second < 10; second += 1) await pass(1_000);
    expect(looks).toHaveLength(11);
    expect(asked).toEqual(['partitions', 'fair keys']);
    await upkeep.stop();
  });

  it.each([
    { due: { promoteAt: NOW + 400_000 }, afterMs: 400, round: 'promote' },
    { due: { leaseEndsAt: NOW + 999_001 }, afterMs: 1_000, round: 'expire' },
    { due: { timeOutAt: NOW + 1_000 }, afterMs: 1, round: 'time out' },
    { due: { foldAt: NOW + 1_000 }, afterMs: 1, round: 'fold' },
    { due: { unblockAt: NOW + 50_000 }, afterMs: 50, round: 'unblock' },
  ])('runs the round that has something to do, when it has: $round', async ({ due, afterMs, round: wanted }) => {
    const { upkeep, asked, now } = upkeepOf();
    now.due = { ...NOTHING_DUE, ...due };
    await upkeep.start();
    await pass(0);
    now.due = NOTHING_DUE;
    await pass(afterMs - 1);
    expect(asked).toEqual(['partitions']);
    await pass(1);
    expect(asked).toEqual(['partitions', wanted]);
    await upkeep.stop();
  });

  it('says which of its rounds failed, while the others go on', async () => {
    const failure = new Error('away');
    const { upkeep, asked, failures, now } = upkeepOf({ promoteDue: async () => Promise.reject(failure) });
    now.due = ALL_DUE;
    await upkeep.start();
    await passLook();
    await pass(1_000);
    await pass(0);
    expect(failures).toEqual([
      ['promote due jobs', failure],
      ['promote due jobs', failure],
    ]);
    expect(asked).toEqual(['partitions', 'expire', 'time out', 'unblock', 'fold', 'expire', 'time out', 'unblock', 'fold']);
    await upkeep.stop();
  });
  it('looks again a second after a look that failed, and tries each round meanwhile', async () => {
    const failure = new Error('away');
    const { upkeep, asked, failures, looks } = upkeepOf({ nextDue: async () => Promise.reject(failure) });
    await upkeep.start();
    await passLook();
    expect(asked).toEqual(['partitions', 'promote', 'expire', 'time out', 'unblock', 'fold']);
    await pass(1_000);
    expect(failures).toEqual([
      ['look for what is due', failure],
      ['look for what is due', failure],
    ]);
    expect(looks).toEqual([]);
    await upkeep.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
