import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { everyCommitObserver, type CommitObserver, type Flush } from '../../src/engine/ports/commit-observer.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { item, Lane, outcome } from './lane.ts';

/** Keeps what it is told; items' origins are the context that they were submitted in. */
function watcher() {
  const context = new AsyncLocalStorage<string>();
  const flushes: Flush[] = [];
  const ends: unknown[] = [];
  const observer: CommitObserver = {
    origin: () => context.getStore(),
    begin: (flush) => {
      flushes.push(flush);
      return { run: (work) => context.run('flush', work), end: (error) => void ends.push(error) };
    },
  };
  return { context, flushes, ends, observer };
}

describe('whoever watches a lane', () => {
  it('is told of each commit: its lane, and for each item where it comes from and how long it has waited', async () => {
    const { context, flushes, ends, observer } = watcher();
    const lane = new Lane({ observer });
    const first = context.run('first', () => lane.group.submit(item('a')));
    const begun = await lane.flight();
    const second = context.run('second', () => lane.group.submit(item('b')));
    const third = context.run('third', () => lane.group.submit(item('c')));
    begun.land();
    await first;
    (await lane.flight()).land();
    await Promise.all([second, third]);
    expect(flushes.map((flush) => [flush.lane, flush.origins])).toEqual([
      ['lane', ['first']],
      ['lane', ['second', 'third']],
    ]);
    expect(flushes.map(({ waitsMs }) => waitsMs.length)).toEqual([1, 2]);
    expect(flushes.flatMap(({ waitsMs }) => waitsMs).every((wait) => wait >= 0 && wait < 60_000)).toBe(true);
    expect(ends).toEqual([null, null]);
  });

  it('is told what a commit failed with, and of the commits that try its items again', async () => {
    const { flushes, ends, observer } = watcher();
    const lane = new Lane({ observer });
    const answers = [outcome(lane.group.submit(item('a'))), outcome(lane.group.submit(item('b')))];
    const error = new StoreError('bad_item', 'no');
    (await lane.flight()).crash(error);
    (await lane.flight()).land();
    (await lane.flight()).land();
    expect(await Promise.all(answers)).toEqual(['A', 'B']);
    expect(flushes.map(({ waitsMs }) => waitsMs.length)).toEqual([2, 1, 1]);
    expect(ends).toEqual([error, null, null]);
  });

  it('has the commit run within it', async () => {
    const { context, observer } = watcher();
    const found: unknown[] = [];
    const lane = new Lane({
      observer: {
        begin: (flush) => {
          const observation = observer.begin(flush);
          return observation === null
            ? null
            : { ...observation, run: (work) => context.run('flush', () => (found.push(context.getStore()), work())) };
        },
      },
    });
    const answer = lane.group.submit(item('a'));
    (await lane.flight()).land();
    await answer;
    expect(found).toEqual(['flush']);
  });

  it('may pass over a commit', async () => {
    const lane = new Lane({ observer: { begin: () => null } });
    const answer = lane.group.submit(item('a'));
    (await lane.flight()).land();
    expect(await answer).toBe('A');
  });
});

describe('several who watch a lane', () => {
  it('are all told, of the origins that one of them names', async () => {
    const naming = watcher();
    const counted: number[] = [];
    const counting: CommitObserver = {
      begin: ({ waitsMs }) => {
        counted.push(waitsMs.length);
        return { end: () => counted.push(-1) };
      },
    };
    const lane = new Lane({ observer: everyCommitObserver([counting, { begin: () => null }, naming.observer]) });
    const answer = naming.context.run('here', () => lane.group.submit(item('a')));
    (await lane.flight()).land();
    await answer;
    expect(naming.flushes[0]?.origins).toEqual(['here']);
    expect(naming.ends).toEqual([null]);
    expect(counted).toEqual([1, -1]);
  });
});
