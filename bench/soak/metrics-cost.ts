// What metrics cost: CPU-µs of the service per unary call with them and without, round about; and how long a scrape takes with 1,000 queues.
//
//   npm run metrics-cost -- [--rounds 10] [--calls 4000]
import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { z } from 'zod';
import { EnqueueRequest, JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import { PostgresServer } from '../../test/support/postgres-server.ts';
import { administer, databaseUrl } from '../../test/support/administration.ts';
import { nodeFlags } from '../node-flags.ts';
import { spreadOf } from '../statistics.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' }, calls: { type: 'string', default: '4000' } } });
const [rounds, calls] = [Number(values.rounds), Number(values.calls)];
const AT_ONCE = 32;
const QUEUES = 1_000;
const SCRAPES = 20;
/** Until upkeep has looked at the queues: twice its interval. */
const LOOK_MS = 11_000;

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const child = join(import.meta.dirname, 'metrics-cost-child.ts');
const served = z.object({ address: z.string() });
const used = z.object({ cpuMicros: z.number() });
const scraped = z.object({ milliseconds: z.number(), bytes: z.number() });

interface Service {
  readonly process: ChildProcess;
  readonly jobs: JobServiceClient;
}

function next(from: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('the service ended'));
    from.once('exit', onExit);
    from.once('message', (message) => {
      from.off('exit', onExit);
      resolve(message);
    });
  });
}

async function start(url: string, variant: 'on' | 'off'): Promise<Service> {
  const flags = [...nodeFlags(), '--no-warnings', '--import', tsx, child, url, variant];
  const started = spawn(process.execPath, flags, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const { address } = served.parse(await next(started));
  return { process: started, jobs: new JobServiceClient(address, credentials.createInsecure()) };
}

async function ask(service: Service, question: 'cpu' | 'scrape'): Promise<unknown> {
  const answer = next(service.process);
  service.process.send(question);
  return await answer;
}

function enqueue({ jobs }: Service, queue: string): Promise<void> {
  return new Promise((resolve, reject) => {
    jobs.enqueue(EnqueueRequest.fromPartial({ job: { queue } }), (error: ServiceError | null) =>
      error === null ? resolve() : reject(error),
    );
  });
}

async function drive(service: Service, count: number, queueOf: (call: number) => string): Promise<number> {
  const before = used.parse(await ask(service, 'cpu')).cpuMicros;
  let left = count;
  const caller = async () => {
    for (; left > 0;) await enqueue(service, queueOf((left -= 1)));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
  return (used.parse(await ask(service, 'cpu')).cpuMicros - before) / count;
}

const server = await PostgresServer.create();
const urls = ['metrics_on', 'metrics_off'].map((name) => databaseUrl(server.url, name));
for (const name of ['metrics_on', 'metrics_off']) await administer(server.url, `create database ${name}`);
const [on, off] = [await start(urls[0] ?? '', 'on'), await start(urls[1] ?? '', 'off')];
try {
  const queueOf = () => 'q';
  // Until what is called often is compiled.
  for (let warmUp = 0; warmUp < 3; warmUp += 1) for (const service of [on, off]) await drive(service, calls, queueOf);
  const told: { on: number; off: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // Who goes first gets what the one before has left: each goes first as often.
    const first = round % 2 === 0;
    const one = await drive(first ? on : off, calls, queueOf);
    const other = await drive(first ? off : on, calls, queueOf);
    told.push(first ? { on: one, off: other } : { on: other, off: one });
    console.log(JSON.stringify({ round, ...told.at(-1) }));
  }
  await drive(on, QUEUES * 3, (call) => `queue-${call % QUEUES}`);
  await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  const scrapes = [];
  for (let scrape = 0; scrape < SCRAPES; scrape += 1) scrapes.push(scraped.parse(await ask(on, 'scrape')));
  console.log(
    JSON.stringify({
      ...{ calls, atOnce: AT_ONCE, on: spreadOf(told.map((one) => one.on)), off: spreadOf(told.map((one) => one.off)) },
      ratio: spreadOf(told.map((one) => one.on / one.off)),
      scrapeMs: spreadOf(scrapes.map(({ milliseconds }) => milliseconds)),
      ...{ scrapeBytes: scrapes.at(-1)?.bytes, queues: QUEUES },
    }),
  );
} finally {
  for (const { process: started, jobs } of [on, off]) {
    jobs.close();
    const gone = new Promise((resolve) => started.once('exit', resolve));
    started.disconnect();
    await gone;
  }
  await server.remove();
}
