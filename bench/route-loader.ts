import { LoadRun } from './load-run.ts';
import type { Loader } from './load-process.ts';
import type { Fill, Place } from './messages.ts';
import { paced, type Route, turnOf } from './route.ts';

export type RouteOf = (place: Place) => Promise<Route>;

/** Calls in flight while jobs are laid in; jobs of the same fairness keys would only wait for each other. */
const fillersOf = ({ keys }: Place) => (keys.fairness === 0 ? 2 : 1);

/** Callers that take turns on a route. */
export function routeLoader(routeOf: RouteOf): Loader {
  return {
    layIn: (request) => layIn(routeOf, request),
    start: async ({ load, callers, everyMs = 0, ...place }) => {
      const route = await routeOf(place);
      const run = new LoadRun(callers, paced(turnOf(load, route, place.batch), everyMs));
      const stop = async () => {
        try {
          return await run.stop();
        } finally {
          await route.close();
        }
      };
      return { mark: () => run.mark(), stop };
    },
  };
}

async function layIn(routeOf: RouteOf, request: Fill): Promise<void> {
  const route = await routeOf(request);
  let left = request.calls;
  const work = async () => {
    for (; left > 0; left -= 1) await route.enqueue();
  };
  await Promise.all(Array.from({ length: fillersOf(request) }, work));
  await route.close();
}
