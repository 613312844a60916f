/** What is told of a drain, and when: storage is played, and time moves only when a test moves it. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobCounts } from '../../../src/domain/queue.ts';
import { RefusalError } from '../../../src/domain/error.ts';
import type { DrainState } from '../../../src/engine/ports/queues.ts';
import { Signal } from '../../../src/engine/ports/signal.ts';
import { waitDrained } from '../../../src/engine/queues/wait-drained.ts';
import { outcome, settled } from '../lane.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const NOTHING: JobCounts = { scheduled: 0, blocked: 0, ready: 0, leased: 0, running: 0, retryWait: 0, suspended: 0 };

/** A queue that drains as the test says, and one who waits for it. */
class Drain {
  state: DrainState | null;
  reads = 0;
  readers = 0;
  readonly changes = new Signal();
  readonly #caller = new AbortController();
  readonly #service = new AbortController();
  readonly #told: ReturnType<typeof waitDrained>;

  constructor(state: DrainState | null) {
    this.state = state;
    const drainState = async () => {
      this.reads += 1;
      return this.state;
    };
    const keepReading = () => {
      this.readers += 1;
      return { close: () => (this.readers -= 1) };
    };
    const parts = { repository: { drainState }, log: { keepReading }, changes: this.changes, draining: this.#service.signal };
    this.#told = waitDrained(parts, { namespace: 'n', name: 'q' }, this.#caller.signal);
  }

  next() {
    return this.#told.next();
  }

  /** The refusal that the next message is instead. */
  async refusal() {
    const error = await outcome(this.next());
    return error instanceof RefusalError ? error.refusal : error;
  }

  cancel(): void {
    this.#caller.abort();
  }

  shutDown(): void {
    this.#service.abort();
  }

  /** Another state, heard of. */
  become(state: DrainState | null): void {
    this.state = state;
    this.changes.fire();
  }
}

const backlog = (told: Partial<JobCounts>): DrainState => ({ status: 'DRAINING_BACKLOG', counts: { ...NOTHING, ...told } });
const inFlight = (told: Partial<JobCounts>): DrainState => ({ status: 'DRAINING_IN_FLIGHT', counts: { ...NOTHING, ...told } });

/** Past the least time between two messages. */
async function pass(milliseconds = 100): Promise<void> {
  await settled();
  vi.advanceTimersByTime(milliseconds);
  await settled();
}

/** Whether it has been answered by now. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  await settled();
  return (await Promise.race([promise, Promise.resolve('pending')])) === 'pending';
}

describe('a drain is told to be over', () => {
  it.each<[boolean, DrainState]>([
    [true, backlog({})],
    [true, backlog({ scheduled: 1, suspended: 1 })],
    [false, backlog({ ready: 1 })],
    [false, backlog({ retryWait: 1 })],
    [false, backlog({ leased: 1 })],
    [false, backlog({ running: 1 })],
    [true, inFlight({})],
    [true, inFlight({ scheduled: 1, ready: 1, retryWait: 1, suspended: 1 })],
    [false, inFlight({ leased: 1 })],
    [false, inFlight({ running: 1 })],
  ])('%s: %j', async (drained, state) => {
    const drain = new Drain(state);
    expect(await drain.next()).toEqual({ done: false, value: { drained, ...state } });
    const after = drain.next();
    expect(await isPending(after)).toBe(!drained);
    drain.cancel();
    expect(await after).toEqual({ done: true, value: undefined });
    expect(drain.readers).toBe(0);
    await settled();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('who waits for a drain', () => {
  it('is told of each change, and of none that is not one', async () => {
    const drain = new Drain(backlog({ ready: 2 }));
    await drain.next();
    const second = drain.next();
    drain.changes.fire();
    await pass();
    expect(drain.reads).toBe(2);
    drain.become(backlog({ running: 1, ready: 1 }));
    await pass();
    expect(await second).toMatchObject({ value: { drained: false, counts: { running: 1, ready: 1 } } });
    const last = drain.next();
    await settled();
    drain.become(backlog({}));
    await pass();
    expect(await last).toMatchObject({ value: { drained: true } });
  });

  it('hears of a change that came while the state was read', async () => {
    const drain = new Drain(backlog({ ready: 1 }));
    const first = drain.next();
    drain.become(backlog({}));
    expect(await first).toMatchObject({ value: { drained: false } });
    const second = drain.next();
    await pass();
    expect(await second).toMatchObject({ value: { drained: true } });
  });

  it('is told ten times a second at most', async () => {
    const drain = new Drain(backlog({ ready: 9 }));
    await drain.next();
    const second = drain.next();
    await settled();
    for (let ready = 8; ready > 0; ready -= 1) drain.become(backlog({ ready }));
    await pass(99);
    expect(drain.reads).toBe(1);
    await pass(1);
    expect(await second).toMatchObject({ value: { counts: { ready: 1 } } });
    expect(drain.reads).toBe(2);
  });

  it('looks again every five seconds, should a hint have been lost', async () => {
    const drain = new Drain(backlog({ ready: 1 }));
    await drain.next();
    const second = drain.next();
    drain.state = backlog({});
    await pass(4_999);
    expect(await isPending(second)).toBe(true);
    await pass(1);
    await pass();
    expect(await second).toMatchObject({ value: { drained: true } });
  });

  it('is refused when the queue is resumed, paused or gone', async () => {
    for (const status of ['ACTIVE', 'PAUSED'] as const) {
      const drain = new Drain(backlog({ ready: 1 }));
      await drain.next();
      const refused = drain.refusal();
      await settled();
      drain.become({ status, counts: { ...NOTHING, ready: 1 } });
      await pass();
      expect(await refused).toEqual({ kind: 'not_draining', queue: 'q', status });
      expect(drain.readers).toBe(0);
    }
    expect(await new Drain(null).refusal()).toEqual({ kind: 'queue_not_found', namespace: 'n', queue: 'q' });
  });

  it('is refused at once where the queue does not drain', async () => {
    for (const counts of [null, NOTHING]) {
      expect(await new Drain({ status: 'ACTIVE', counts }).refusal()).toEqual({ kind: 'not_draining', queue: 'q', status: 'ACTIVE' });
    }
  });
});

describe.each<[string, (drain: Drain) => Promise<unknown>]>([
  ['between two messages', async () => await settled()],
  [
    'right after a change',
    async (drain) => {
      await settled();
      drain.changes.fire();
      await settled();
    },
  ],
])('%s', (_when, come) => {
  it('a caller who goes leaves nothing behind', async () => {
    const drain = new Drain(backlog({ ready: 1 }));
    await drain.next();
    const second = drain.next();
    await come(drain);
    drain.cancel();
    expect(await second).toEqual({ done: true, value: undefined });
    expect(drain.readers).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a service that shuts down says so', async () => {
    const drain = new Drain(backlog({ ready: 1 }));
    await drain.next();
    const refused = drain.refusal();
    await come(drain);
    drain.shutDown();
    expect(await refused).toEqual({ kind: 'shutting_down' });
    expect(drain.readers).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
