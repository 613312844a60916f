import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import { ProgressBoard } from '../../../src/engine/progress/progress-board.ts';
import type { Delivery, Subscribe } from '../../../src/engine/engine.ts';
import { readCursor } from '../../../src/engine/events/cursor.ts';
import { SharedMessages } from '../../../src/engine/events/shared-messages.ts';
import { followLog } from '../../../src/engine/events/subscribe.ts';
import { event } from '../../feed/memory-journal.ts';
import { ScriptedLog } from './scripted-reader.ts';

const QUERY: Subscribe = { namespace: 'n', scope: { kind: 'everything' }, types: [], start: { kind: 'from_now' } };
const BUSY_MS = 10_000;
const IDLE_MS = 60_000;

/** Of how many chunks a cursor is behind. */
function chunksBehind({ cursor }: Delivery): number {
  const read = readCursor(QUERY, cursor);
  if (read.kind !== 'log') throw new Error('not a cursor of the log');
  return Number(read.position.seen?.split(':')[1]) - 1;
}

describe('a subscription to the log', () => {
  let log: ScriptedLog;
  let draining: AbortController;
  let left: AbortController;
  let stream: AsyncGenerator<Delivery>;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    [log, draining, left] = [new ScriptedLog(), new AbortController(), new AbortController()];
    stream = followLog({ log, board: new ProgressBoard(), draining: draining.signal, shared: new SharedMessages() }, QUERY, left.signal);
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

  /** What comes when so much time has passed, or null. */
  async function within(waitMs: number, upcoming: Promise<Delivery>): Promise<Delivery | null> {
    await vi.advanceTimersByTimeAsync(waitMs);
    return Promise.race([upcoming, new Promise<null>((resolve) => setImmediate(() => resolve(null)))]);
  }

  it('begins with a cursor', async () => {
    expect(await next()).toMatchObject({ events: [], reconnect: null });
  });

  it('sends a checkpoint when nothing has happened for a minute', async () => {
    await next();
    const upcoming = next();
    expect(await within(IDLE_MS - 1, upcoming)).toBeNull();
    expect(await within(1, upcoming)).toMatchObject({ events: [], reconnect: null });
    const another = next();
    expect(await within(IDLE_MS - 1, another)).toBeNull();
    expect(await within(1, another)).not.toBeNull();
  });

  it('sends a checkpoint every ten seconds while events pass by that it does not want', async () => {
    await next();
    const upcoming = next();
    expect(await within(4_000, upcoming)).toBeNull();
    log.tell(event(1, { namespace: 'other' }));
    expect(await within(BUSY_MS - 4_001, upcoming)).toBeNull();
    log.tell(event(2, { namespace: 'other' }));
    const checkpoint = await within(1, upcoming);
    expect(checkpoint).toMatchObject({ events: [], reconnect: null });
    expect(checkpoint !== null && chunksBehind(checkpoint)).toBe(2);
  });

  it('sends no checkpoint where events have just told the cursor', async () => {
    await next();
    await vi.advanceTimersByTimeAsync(IDLE_MS - 1);
    log.tell(event(1));
    expect((await next()).events).toHaveLength(1);
    expect(await within(IDLE_MS - 1_001, next())).toBeNull();
  });

  it('tells what is wanted, and is behind what is not', async () => {
    await next();
    log.tell(event(1), event(2, { namespace: 'other' }), event(3), event(4, { namespace: 'other' }));
    const message = await next();
    expect(message.events).toEqual([event(1), event(3)]);
    expect(chunksBehind(message)).toBe(1);
  });

  it.each<[string, Partial<Subscribe>, number[]]>([
    ['a queue', { scope: { kind: 'queue', queue: 'b' } }, [2]],
    ['types', { types: ['claimed', 'started'] }, [3]],
    ['everything', {}, [1, 2, 3]],
  ])('wants %s only', async (_what, partial, wanted) => {
    const events = [event(1), event(2, { queue: 'b' }), event(3, { detail: { type: 'claimed' } })];
    log.tell(...events);
    const chosen = followLog(
      { log, board: new ProgressBoard(), draining: draining.signal, shared: new SharedMessages() },
      { ...QUERY, ...partial },
      left.signal,
    );
    await chosen.next();
    expect((await chosen.next()).value).toMatchObject({ events: wanted.map((job) => events[job - 1]) });
    await chosen.return(undefined);
  });

  it('ends in the middle of a long chunk when the service drains, with the cursor of what it told', async () => {
    await next();
    log.tell(...Array.from({ length: 3 * LIMITS.eventsPerMessage }, () => event(1)));
    const { cursor } = await next();
    draining.abort();
    expect(await next()).toEqual({ events: [], cursor, reconnect: 'shutting_down' });
    expect((await stream.next()).done).toBe(true);
  });

  it('ends with a word when the service drains while it waits', async () => {
    const { cursor } = await next();
    const waiting = next();
    draining.abort();
    expect(await waiting).toEqual({ events: [], cursor, reconnect: 'shutting_down' });
    expect((await stream.next()).done).toBe(true);
  });

  it('ends with a word when the database began another history', async () => {
    const { cursor } = await next();
    const waiting = next();
    log.endEpoch();
    expect(await waiting).toEqual({ events: [], cursor, reconnect: 'history_ended' });
    expect((await stream.next()).done).toBe(true);
  });

  it('ends without a word when its reader has gone', async () => {
    await next();
    const waiting = stream.next();
    left.abort();
    expect((await waiting).done).toBe(true);
  });

  it('leaves nothing behind, however it ends', async () => {
    await next();
    const waiting = stream.next();
    left.abort();
    await waiting;
    expect(log.closed).toBe(1);
    expect(getEventListeners(draining.signal, 'abort')).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
