/** What is told of a queue's activity, and when it is looked at: storage is played, and time moves only when a test moves it. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { QueueStats } from '../../../src/domain/queue-stats.ts';
import type { ScaleTrigger } from '../../../src/domain/scaling.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import { QueueChanges } from '../../../src/engine/queues/queue-changes.ts';
import { streamIsActive } from '../../../src/engine/scaler/stream-is-active.ts';
import { outcome, settled } from '../lane.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const queue = { namespace: 'n', name: 'q' };
const EMPTY: QueueStats = {
  ...queue,
  ...{ observedAt: 0, status: 'ACTIVE', claimable: 0, oldestReadyMs: null, limiter: 'EMPTY', deadLetters: 0, oldestSnapshotMs: null },
  jobs: { scheduled: 0, blocked: 0, ready: 0, leased: 0, running: 0, retryWait: 0, suspended: 0 },
  rates: { enqueued: 0, claimed: 0, finished: 0, failed: 0 },
};
const WAITING: QueueStats = { ...EMPTY, claimable: 1, oldestReadyMs: 0 };
const BY_BACKLOG: ScaleTrigger = { queue, scaleBy: 'backlog', target: 1, activationThreshold: 0 };
const BY_AGE: ScaleTrigger = { queue, scaleBy: 'oldest_age', target: 1, activationThreshold: 60 };

/** A queue as the test says, and one stream of it. */
class Watched {
  stats: QueueStats | null = EMPTY;
  failure: StoreError | null = null;
  reads = 0;
  hearers = 0;
  readonly changes = new QueueChanges();
  readonly #caller = new AbortController();
  readonly #service = new AbortController();
  readonly #told: ReturnType<typeof streamIsActive>;

  constructor(trigger: ScaleTrigger = BY_BACKLOG) {
    const queueStats = async () => {
      this.reads += 1;
      if (this.failure !== null) throw this.failure;
      return this.stats;
    };
    const keepHearing = () => {
      this.hearers += 1;
      return { close: () => (this.hearers -= 1) };
    };
    const parts = { repository: { queueStats }, log: { keepHearing }, queueChanges: this.changes, random: () => 0 };
    this.#told = streamIsActive({ ...parts, draining: this.#service.signal }, trigger, this.#caller.signal);
  }

  next() {
    return this.#told.next();
  }

  cancel(): void {
    this.#caller.abort();
  }

  shutDown(): void {
    this.#service.abort();
  }

  become(stats: QueueStats): void {
    this.stats = stats;
    this.changes.fire([queue]);
  }

  /** Nothing is left behind. */
  expectClean(): void {
    expect([this.hearers, this.changes.size, vi.getTimerCount()]).toEqual([0, 0, 0]);
  }
}

const told = (value: boolean) => ({ done: false, value });
const over = { done: true, value: undefined };

describe('activity', () => {
  it('is told with the change, without time passing, once the last look is a while ago', async () => {
    const watched = new Watched();
    expect(await watched.next()).toEqual(told(false));
    const next = watched.next();
    await vi.advanceTimersByTimeAsync(1_000);
    watched.become(WAITING);
    expect(await next).toEqual(told(true));
    expect(watched.reads).toBe(2);
  });

  it('is looked at neither by a clock nor for another queue', async () => {
    const watched = new Watched();
    await watched.next();
    const next = watched.next();
    for (let second = 0; second < 50; second += 1) {
      await vi.advanceTimersByTimeAsync(1_000);
      watched.changes.fire([{ namespace: 'n', name: 'another' }]);
    }
    expect(watched.reads).toBe(1);
    watched.cancel();
    expect(await next).toEqual(over);
  });

  it('is looked at after a while should every hint have been lost', async () => {
    const watched = new Watched();
    await watched.next();
    const next = watched.next();
    watched.stats = WAITING;
    await vi.advanceTimersByTimeAsync(60_100);
    expect(await next).toEqual(told(true));
  });

  it('that comes while the former is read is not missed', async () => {
    const watched = new Watched();
    expect(await watched.next()).toEqual(told(false));
    watched.become(WAITING);
    const next = watched.next();
    await vi.advanceTimersByTimeAsync(100);
    expect(await next).toEqual(told(true));
  });

  it('of a busy queue is looked at once a second, and told only where it changes', async () => {
    const watched = new Watched();
    watched.stats = WAITING;
    expect(await watched.next()).toEqual(told(true));
    const next = watched.next();
    for (let change = 0; change < 100; change += 1) {
      watched.become(WAITING);
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(watched.reads).toBe(6);
    watched.become(EMPTY);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await next).toEqual(told(false));
  });

  it('by age comes at its instant, unless the job is gone before', async () => {
    const watched = new Watched(BY_AGE);
    watched.stats = { ...WAITING, oldestReadyMs: 20_000 };
    expect(await watched.next()).toEqual(told(false));
    const next = watched.next();
    await vi.advanceTimersByTimeAsync(39_900);
    expect(watched.reads).toBe(1);
    watched.stats = { ...WAITING, oldestReadyMs: 60_001 };
    await vi.advanceTimersByTimeAsync(200);
    expect(await next).toEqual(told(true));
  });
});

describe('a stream', () => {
  it('ends when the service drains, parked or not, and when it drains already', async () => {
    const watched = new Watched();
    await watched.next();
    const parked = watched.next();
    await settled();
    watched.shutDown();
    expect(await parked).toEqual(over);
    watched.expectClean();
    const late = new Watched();
    late.shutDown();
    expect(await late.next()).toEqual(over);
    expect(late.reads).toBe(0);
    late.expectClean();
  });

  it('leaves nothing behind when its client goes', async () => {
    const watched = new Watched();
    await watched.next();
    const parked = watched.next();
    await settled();
    expect([watched.hearers, watched.changes.size]).toEqual([1, 1]);
    watched.cancel();
    expect(await parked).toEqual(over);
    watched.expectClean();
  });

  it('leaves nothing behind when the database goes, or the queue with a restore', async () => {
    const watched = new Watched();
    watched.failure = new StoreError('unavailable', 'gone');
    expect(await outcome(watched.next())).toBe('unavailable');
    watched.expectClean();
    const gone = new Watched();
    await gone.next();
    gone.stats = null;
    gone.changes.fireAll();
    const end = outcome(gone.next());
    await vi.advanceTimersByTimeAsync(100);
    expect(await end).toMatchObject({ refusal: { kind: 'queue_not_found' } });
    gone.expectClean();
  });
});

describe('of two who watch one queue', () => {
  it('each is told, also when the other has left', async () => {
    const changes = new QueueChanges();
    const [one, two] = [changes.watch(queue), changes.watch(queue)];
    const { signal } = new AbortController();
    changes.fire([queue]);
    await Promise.all([one.changed(signal), two.changed(signal)]);
    one[Symbol.dispose]();
    const changed = two.changed(signal);
    changes.fire([queue]);
    await changed;
    two[Symbol.dispose]();
    expect(changes.size).toBe(0);
  });
});
