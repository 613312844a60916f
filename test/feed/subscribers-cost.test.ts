/** What subscribers cost the database: the log is read once, and jobs together, however many follow. */
import { describe, expect, it } from 'vitest';
import type { Store } from '../../src/repository/store.ts';
import { FROM_NOW } from './follower.ts';
import { useScene } from './scene.ts';
import { enqueue, enqueueTogether } from './work.ts';

const scene = useScene();
const EVENTS = 20;

describe('subscribers', () => {
  it.each([1, 50])('of a number of %i have each committed row read once', async (count) => {
    const here = await scene.replica({ deaf: true });
    const there = await scene.replica();
    const namespace = scene.namespace();
    const followers = Array.from({ length: count }, () => scene.follow(here.engine, namespace, { start: FROM_NOW }));
    for (const follower of followers) await follower.next();
    const before = here.seen.length;
    for (let told = 0; told < EVENTS; told += 1) await enqueue(there.engine, namespace);
    const begun = here.reads.length;
    await Promise.all(followers.map((follower) => follower.untilCount(EVENTS)));
    expect(here.seen.length - before).toBe(EVENTS);
    // All from the tail: no reader has a read of its own, which would end where the tail is.
    expect(here.reads.slice(begun).filter(({ upTo }) => upTo !== null)).toEqual([]);
  });

  it('to a hundred jobs that change in one commit read them together', async () => {
    const reads: number[] = [];
    const through = (store: Store): Store => ({
      ...store,
      repository: {
        ...store.repository,
        histories: (asked, ...which) => {
          reads.push(asked.length);
          return store.repository.histories(asked, ...which);
        },
        history: (...asked) => {
          reads.push(1);
          return store.repository.history(...asked);
        },
      },
    });
    const { engine } = await scene.replica({ through });
    const namespace = scene.namespace();
    const jobIds = await enqueueTogether(engine, namespace, 100);
    const followers = jobIds.map((jobId) => scene.follow(engine, namespace, { start: FROM_NOW, scope: { kind: 'job', jobId } }));
    await Promise.all(followers.map((follower) => follower.next()));
    const told = Promise.all(followers.map((follower) => follower.untilCount(1)));
    // All have caught up and wait.
    for (let waiting = 0; waiting < 200; waiting = reads.reduce((sum, count) => sum + count, 0)) await new Promise(setImmediate);
    reads.length = 0;
    await engine.jobs.cancelJobs({
      filter: { namespace, queue: null, states: [], type: null, labels: {}, createdFrom: null, createdBefore: null },
      reason: '',
      dryRun: false,
      pageSize: 100,
      after: null,
      request: null,
    });
    await told;
    expect(reads.length).toBeLessThan(20);
  });
});
