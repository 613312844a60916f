import { expect, it } from 'vitest';
import { NO_KEYS } from '../../bench/cells.ts';
import type { Place } from '../../bench/messages.ts';
import { routeLoader } from '../../bench/route-loader.ts';

const place = (target: string): Place => ({ target, queue: 'q', batch: 1, keys: NO_KEYS });

/** Routes that do nothing, and what was done on each. */
function routes(failing: string | null = null) {
  const opened: string[] = [];
  const closed: string[] = [];
  const enqueued = new Map<string, number>();
  const routeOf = async ({ target }: Place) => {
    if (target === failing) throw new Error('refused');
    opened.push(target);
    return {
      enqueue: async () => {
        enqueued.set(target, (enqueued.get(target) ?? 0) + 1);
        await new Promise((resolve) => setImmediate(resolve));
      },
      claim: () => Promise.resolve([]),
      settle: () => Promise.resolve(),
      close: async () => void closed.push(target),
    };
  };
  return { loader: routeLoader(routeOf), opened, closed, enqueued };
}

it('sends each caller to its place, by a route of its own, and closes them all', async () => {
  const { loader, opened, closed, enqueued } = routes();
  const targets = ['a', 'b', 'c'];
  const running = await loader.start({ ...place('a'), load: 'enqueue', callers: 3, places: targets.map(place) });
  await new Promise((resolve) => setImmediate(resolve));
  await running.stop();
  expect(opened).toEqual(targets);
  expect(closed.toSorted()).toEqual(targets);
  expect([...enqueued.keys()].toSorted()).toEqual(targets);
});

it('has all callers share one route where no places are told', async () => {
  const { loader, opened } = routes();
  const running = await loader.start({ ...place('a'), load: 'enqueue', callers: 3 });
  await running.stop();
  expect(opened).toEqual(['a']);
});

it('leaves no route open when one of them cannot be opened', async () => {
  const { loader, closed } = routes('b');
  const places = ['a', 'b', 'c'].map(place);
  await expect(loader.start({ ...place('a'), load: 'enqueue', callers: 3, places })).rejects.toThrow('refused');
  expect(closed.toSorted()).toEqual(['a', 'c']);
});
