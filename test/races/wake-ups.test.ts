/** What is committed while somebody looks: told, or found by a look of its own, never left for the next poll. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventHub } from '../../src/feed/event-hub.ts';
import type { Store } from '../../src/repository/store.ts';
import { Gate } from '../engine/engine-on.ts';
import { event, jobId, MemoryJournal } from '../feed/memory-journal.ts';
import { useScene } from '../feed/scene.ts';
import { ack, claim, enqueue } from '../feed/work.ts';

/** Less than the minutes after which an await looks again of itself. */
const PATIENCE_MS = 15_000;

describe('a ring', () => {
  // Polling stands still: it saves nobody.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('that comes while the hub looks is answered by another look', async () => {
    const journal = new MemoryJournal();
    const [looked, answer] = [new Gate(), new Gate()];
    let slow = false;
    const read: MemoryJournal['read'] = async (position, upTo) => {
      const chunk = await journal.read(position, upTo);
      if (slow) {
        looked.open();
        await answer.opened;
      }
      return chunk;
    };
    const nothing = () => undefined;
    let ring: () => void = nothing;
    const hub = new EventHub({
      journal: { head: () => journal.head(), read, expectRetained: (position) => journal.expectRetained(position) },
      doorbell: {
        ring: nothing,
        tell: () => Promise.resolve(),
        close: () => Promise.resolve(),
        listen: async (told) => void (ring = told.onRing),
      },
      onEvents: nothing,
      onBegin: nothing,
      onQueues: nothing,
      onNewEpoch: nothing,
      onFailure: nothing,
    });
    await hub.start();
    const reader = await hub.readFrom('now');
    slow = true;
    ring();
    await looked.opened;
    // The look that is under way has not seen it.
    journal.commit(event(1));
    ring();
    answer.open();
    const chunk = await reader.next(new AbortController().signal, PATIENCE_MS);
    expect(chunk?.events.map((logged) => logged.event.jobId)).toEqual([jobId(1)]);
    reader.close();
    await hub.stop();
  });
});

describe('an await', () => {
  const scene = useScene();

  it('wakes though its job ends between its first read and its wait', async () => {
    const [read, answer] = [new Gate(), new Gate()];
    const here = await scene.replica({ through: (store) => readingSlowly(store, read, answer) });
    const there = await scene.replica();
    const namespace = scene.namespace();
    const id = await enqueue(there.engine, namespace);
    const states = here.engine.jobs.awaitTerminal(
      { namespace, jobId: id, includeProgress: false, afterLife: 0 },
      AbortSignal.timeout(PATIENCE_MS),
    );
    const first = states.next();
    await read.opened;
    for (const { token } of await claim(there.engine, namespace)) await ack(there.engine, token);
    await here.hub.refresh();
    answer.open();
    expect((await first).value).toMatchObject({ job: { state: 'READY' }, terminal: false });
    expect((await states.next()).value).toMatchObject({ job: { state: 'SUCCEEDED' }, terminal: true });
  });
});

/** Opens `read` once jobs were read, and answers with them once `answer` is open. */
function readingSlowly(store: Store, read: Gate, answer: Gate): Store {
  const getJobs: Store['repository']['getJobs'] = async (ids) => {
    const jobs = await store.repository.getJobs(ids);
    read.open();
    await answer.opened;
    return jobs;
  };
  return { ...store, repository: { ...store.repository, getJobs } };
}
