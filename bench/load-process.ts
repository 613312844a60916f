/** The inside of a load process: takes requests from the bench, one after the other, until the bench is gone. */
import { type Fill, type Mark, numbered, type Request, type Task } from './messages.ts';

/** What a load process does when it is asked. */
export interface Loader {
  layIn(request: Fill): Promise<void>;
  /** Settles when the load is on. */
  start(task: Task): Promise<Running>;
}

/** A load that is on. */
export interface Running {
  /** What is measured lies between the first mark and the second. */
  mark(): Mark | Promise<Mark>;
  /** The times of the turns that ended between the marks, in milliseconds. Throws what the load met. */
  stop(): Promise<readonly number[]>;
}

export function serveLoads(loader: Loader): void {
  let running: Running | null = null;

  const answer = async (request: Request): Promise<unknown> => {
    switch (request.kind) {
      case 'fill':
        await loader.layIn(request);
        return null;
      case 'start':
        running = await loader.start(request.task);
        return null;
      case 'mark':
        return running?.mark();
      case 'stop': {
        const stopped = running;
        running = null;
        return stopped?.stop();
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
