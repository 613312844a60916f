/** The inside of a load process: takes requests from the bench, one after the other, until the bench is gone. */
import { LoadRun } from './load-run.ts';
import { numbered, type Place, type Request } from './messages.ts';
import { paced, type Route, turnOf } from './route.ts';

export type RouteOf = (place: Place) => Promise<Route>;

/** Calls in flight while jobs are laid in; jobs of the same fairness keys would only wait for each other. */
const fillersOf = ({ keys }: Place) => (keys.fairness === 0 ? 2 : 1);

export function serveLoads(routeOf: RouteOf): void {
  let running: { readonly route: Route; readonly run: LoadRun } | null = null;

  const answer = async (request: Request): Promise<unknown> => {
    switch (request.kind) {
      case 'fill':
        return fill(routeOf, request);
      case 'start': {
        const { load, batch, callers, everyMs = 0 } = request.task;
        const route = await routeOf(request.task);
        running = { route, run: new LoadRun(callers, paced(turnOf(load, route, batch), everyMs)) };
        return null;
      }
      case 'mark':
        return running?.run.mark();
      case 'stop': {
        const times = await running?.run.stop();
        await running?.route.close();
        running = null;
        return times;
      }
    }
  };

  process.on('message', (message) => {
    const { id, request } = numbered.parse(message);
    answer(request).then(
      (value) => process.send?.({ id, value }),
      (error: unknown) => process.send?.({ id, error: String(error) }),
    );
  });
  serveUntilAlone();
  process.send?.({ ready: '' });
}

/** Ends with the bench, and leaves it to the bench to notice a Ctrl-C, which reaches the whole group. */
export function serveUntilAlone(beforeExit: () => Promise<void> = () => Promise.resolve()): void {
  process.on('SIGINT', () => undefined);
  process.once('disconnect', () => void beforeExit().finally(() => process.exit()));
}

async function fill(routeOf: RouteOf, request: Extract<Request, { kind: 'fill' }>): Promise<null> {
  const route = await routeOf(request);
  let left = request.calls;
  const work = async () => {
    for (; left > 0; left -= 1) await route.enqueue();
  };
  await Promise.all(Array.from({ length: fillersOf(request) }, work));
  await route.close();
  return null;
}
