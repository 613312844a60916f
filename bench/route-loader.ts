import { LoadRun } from './load-run.ts';
import type { Loader } from './load-process.ts';
import type { Fill, Place } from './messages.ts';
import { paced, type Route, type Turn, turnOf } from './route.ts';

export type RouteOf = (place: Place) => Promise<Route>;

/** Calls in flight while jobs are laid in; jobs of the same fairness keys would only wait for each other. */
const fillersOf = ({ keys }: Place) => (keys.fairness === 0 ? 2 : 1);

/** Callers that take turns on a route. */
export function routeLoader(routeOf: RouteOf): Loader {
  return {
    layIn: (request) => layIn(routeOf, request),
    start: async ({ load, callers, places, everyMs = 0, ...place }) => {
      const routes = await openAll(routeOf, places ?? [place]);
      const turns = routes.map((route) => paced(turnOf(load, route, place.batch), everyMs));
      const run = new LoadRun(callers, async (caller) => turns[caller % turns.length]?.() ?? NOTHING);
      const stop = async () => {
        try {
          return await run.stop();
        } finally {
          await closeAll(routes);
        }
      };
      return { mark: () => run.mark(), stop };
    },
  };
}

const NOTHING: Turn = { jobs: 0, tookMs: 0 };

/** All of them, or none. */
async function openAll(routeOf: RouteOf, places: readonly Place[]): Promise<readonly Route[]> {
  const opened = await Promise.allSettled(places.map(routeOf));
  const routes = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = opened.find((one) => one.status === 'rejected');
  if (failed === undefined) return routes;
  await closeAll(routes);
  throw failed.reason;
}

async function closeAll(routes: readonly Route[]): Promise<void> {
  await Promise.all(routes.map((route) => route.close()));
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
