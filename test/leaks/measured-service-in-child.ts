// The real service in a process of its own, which tells its parent what it holds. Run with --expose-gc.
import { connect, createServer } from 'node:http2';
import { queryObjects } from 'node:v8';
import { startApp } from '../../src/app.ts';
import { createLogger } from '../../src/ops/logging.ts';
import type { Answer, Level, Objects, Question } from '../support/measured-service.ts';

type Class = Parameters<typeof queryObjects>[0];

const [databaseUrl = ''] = process.argv.slice(2);

function classOf(instance: object): Class {
  return instance.constructor;
}

/** Node does not export the class of its server's streams, so one is made to see it. */
async function streamClass(): Promise<Class> {
  const server = createServer();
  const made = new Promise<Class>((resolve) => {
    server.once('stream', (stream) => {
      stream.respond({}, { endStream: true });
      resolve(classOf(stream));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const client = connect(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`);
  client.request({}).resume();
  const found = await made;
  client.close();
  server.close();
  return found;
}

/** Twice, with a turn between: what a finalizer lets go of is collected by the second. */
async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function measure(): Promise<Level> {
  await collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  return { heapBytes: heapUsed, externalBytes: external, rssBytes: rss, handles };
}

async function main(): Promise<void> {
  const streams = await streamClass();
  const reachable = (one: Class) => queryObjects(one, { format: 'count' });
  const countObjects = (): Objects => ({
    streams: reachable(streams),
    signals: reachable(AbortSignal),
    sets: reachable(Set),
  });
  const app = await startApp({
    config: { listen: { host: '127.0.0.1', port: 0 } },
    databaseUrl,
    logger: createLogger({ level: 'error' }),
  });
  const tell = (answer: Answer) => process.send?.(answer);
  process.on('message', (question: Question) => {
    if (question === 'objects') tell({ objects: countObjects() });
    else if (question === 'level') void measure().then((level) => tell({ level }));
    else {
      void app.stop().then(() => {
        tell({ stopped: true });
        process.disconnect();
      });
    }
  });
  // Without a parent nobody would ever tell it to stop.
  process.once('disconnect', () => process.exit());
  tell({ address: app.grpcAddress });
}

void main();
