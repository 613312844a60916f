import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import { ProgressBoard } from '../../../src/engine/progress/progress-board.ts';
import type { Delivery, Subscribe } from '../../../src/engine/engine.ts';
import { followJob } from '../../../src/engine/events/follow-job.ts';
import { jobId } from '../../feed/memory-journal.ts';
import { JobHistory } from './job-history.ts';

const JOB = jobId(1);
const BUSY_MS = 10_000;
const IDLE_MS = 60_000;
const FAILED = {
  type: 'failed',
  failure: { code: 'c', message: '', details: new Uint8Array(LIMITS.failureDetailsBytes), kind: 'TERMINAL' },
  deadLettered: false,
  evidence: null,
} as const;

describe('a subscription to a job', () => {
  let job: JobHistory;
  let draining: AbortController;
  let left: AbortController;
  let stream: AsyncGenerator<Delivery>;
  const follow = (partial: Partial<Subscribe> = {}) => {
    const query: Subscribe = {
      namespace: 'n',
      scope: { kind: 'job', jobId: JOB },
      types: [],
      start: { kind: 'from_beginning' },
      ...partial,
    };
    stream = followJob(
      { log: job, repository: job, histories: job, board: new ProgressBoard(), draining: draining.signal },
      query,
      JOB,
      left.signal,
    );
  };
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    [job, draining, left] = [new JobHistory(), new AbortController(), new AbortController()];
  });
  afterEach(async () => {
    left.abort();
    await stream.return(undefined);
    vi.useRealTimers();
  });

  async function next(): Promise<Delivery> {
    const { value, done } = await stream.next();
    if (done === true) throw new Error('the stream has ended');
    return value;
  }

  async function within(waitMs: number, upcoming: Promise<Delivery>): Promise<Delivery | null> {
    await vi.advanceTimersByTimeAsync(waitMs);
    return Promise.race([upcoming, new Promise<null>((resolve) => setImmediate(() => resolve(null)))]);
  }

  const sequences = ({ events }: Delivery) => events.map(({ sequence }) => sequence);

  it('begins with a cursor, tells the history, and then what is hinted at', async () => {
    job.append();
    job.append();
    follow();
    expect(await next()).toMatchObject({ events: [], reconnect: null });
    expect(sequences(await next())).toEqual([1, 2]);
    const upcoming = next();
    job.append();
    job.hint();
    expect(sequences(await upcoming)).toEqual([3]);
  });

  it('from now on tells what is new only', async () => {
    job.append();
    follow({ start: { kind: 'from_now' } });
    await next();
    job.append();
    expect(sequences(await next())).toEqual([2]);
  });

  it('goes on from each of its cursors', async () => {
    for (let count = 0; count < 2 * LIMITS.eventsPerMessage + 1; count += 1) job.append();
    follow();
    const told = [await next(), await next(), await next(), await next()];
    expect(told.map(({ events }) => events.length)).toEqual([0, LIMITS.eventsPerMessage, LIMITS.eventsPerMessage, 1]);
    for (const [index, { cursor }] of told.slice(0, -1).entries()) {
      follow({ start: { kind: 'cursor', cursor } });
      await next();
      expect(await next()).toEqual(told[index + 1]);
      await stream.return(undefined);
    }
  });

  it('cuts what is too large for a message, each with its own cursor', async () => {
    for (let count = 0; count < 20; count += 1) job.append({ detail: FAILED });
    follow();
    await next();
    const first = await next();
    expect(first.events.length).toBeLessThan(20);
    const second = await next();
    expect([...sequences(first), ...sequences(second)].slice(0, 12)).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
    follow({ start: { kind: 'cursor', cursor: first.cursor } });
    await next();
    expect(sequences(await next())).toEqual(sequences(second));
  });

  it('finds what nobody hinted at, after a minute at the latest', async () => {
    job.append();
    follow();
    await next();
    await next();
    const upcoming = next();
    await vi.advanceTimersByTimeAsync(1);
    job.append();
    expect(await within(IDLE_MS - 2, upcoming)).toBeNull();
    expect(sequences((await within(1, upcoming)) ?? (await next()))).toEqual([2]);
  });

  it('sends checkpoints: every ten seconds while events pass by, every minute while none do', async () => {
    follow({ types: ['failed'] });
    await next();
    let upcoming = next();
    expect(await within(IDLE_MS - 1, upcoming)).toBeNull();
    expect(await within(1, upcoming)).toMatchObject({ events: [], reconnect: null });
    upcoming = next();
    await vi.advanceTimersByTimeAsync(1_000);
    job.append();
    job.hint();
    expect(await within(BUSY_MS - 1_001, upcoming)).toBeNull();
    const checkpoint = await within(1, upcoming);
    expect(checkpoint).toMatchObject({ events: [] });
    job.append({ detail: FAILED });
    follow({ types: ['failed'], start: { kind: 'cursor', cursor: checkpoint?.cursor ?? '' } });
    await next();
    expect(sequences(await next())).toEqual([2]);
  });

  it('tells nothing of another history, however late it is read', async () => {
    job.append();
    follow();
    await next();
    const { cursor } = await next();
    job.restore(1);
    job.append();
    job.hint();
    expect(await next()).toEqual({ events: [], cursor, reconnect: 'history_ended' });
    expect((await stream.next()).done).toBe(true);
  });

  it('ends with a word when the service drains, without one when its reader has gone, and leaves nothing behind', async () => {
    job.append();
    follow();
    await next();
    const { cursor } = await next();
    const waiting = next();
    draining.abort();
    expect(await waiting).toEqual({ events: [], cursor, reconnect: 'shutting_down' });
    expect((await stream.next()).done).toBe(true);
    draining = new AbortController();
    follow();
    await next();
    await next();
    const ending = stream.next();
    left.abort();
    expect((await ending).done).toBe(true);
    expect(getEventListeners(draining.signal, 'abort')).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    expect(job.watches).toBe(0);
  });
});
