// What metrics cost: CPU-µs of the service per unary call with them and without, in turns; and how long a scrape takes with 1,000 queues, the
// busiest of them by name and all of them by name. Two processes of one program differ by several in a hundred as long as they live: hence each
// round has a process of its own that serves with metrics, without, and without once more, which shows how far apart equals come out. What these
// ratios are too coarse for is told by a profile of a service with metrics: the share of its samples that are in them.
//
//   npm run metrics-cost -- [--rounds 10] [--calls 16000]
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { z } from 'zod';
import { EnqueueRequest, JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import { PostgresServer } from '../../test/support/postgres-server.ts';
import { administer, databaseUrl } from '../../test/support/administration.ts';
import { nodeFlags } from '../node-flags.ts';
import { parseProfile, shareOf } from './profile-share.ts';
import { type Spread, spreadOf } from '../statistics.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' }, calls: { type: 'string', default: '16000' } } });
const [rounds, calls] = [Number(values.rounds), Number(values.calls)];
const AT_ONCE = 32;
/** A round has so many turns of each service, and some before that do not count: until what is called often is compiled. */
const [TURNS, WARM_UP_TURNS] = [16, 8];
const perTurn = Math.ceil(calls / TURNS);
const QUEUES = 1_000;
const SCRAPES = 20;
const PROFILED_CALLS = 100_000;
/** Until upkeep has looked at the queues: twice its interval. */
const LOOK_MS = 11_000;

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const child = join(import.meta.dirname, 'metrics-cost-child.ts');
const served = z.object({ addresses: z.array(z.string()) });
const used = z.object({ cpuMicros: z.number() });
const scraped = z.object({ milliseconds: z.number(), bytes: z.number() });

/** What a process serves: each on a database of its own. */
const VARIANTS = ['on', 'off', 'control'] as const;
type Variant = (typeof VARIANTS)[number];

interface Program {
  readonly process: ChildProcess;
  /** In the order that it was asked for. */
  readonly served: readonly JobServiceClient[];
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

async function start(variants: readonly Variant[], { queuesByName = 100, more = [] as readonly string[] } = {}): Promise<Program> {
  const asked = variants.flatMap((variant) => [databaseUrl(server.url, variant), variant === 'on' ? 'on' : 'off']);
  const flags = [...nodeFlags(), ...more, '--no-warnings', '--import', tsx, child, `${queuesByName}`, ...asked];
  const started = spawn(process.execPath, flags, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const { addresses } = served.parse(await next(started));
  return { process: started, served: addresses.map((address) => new JobServiceClient(address, credentials.createInsecure())) };
}

async function stop(program: Program): Promise<void> {
  for (const jobs of program.served) jobs.close();
  const gone = new Promise((resolve) => program.process.once('exit', resolve));
  program.process.disconnect();
  await gone;
}

async function ask(program: Program, question: 'cpu' | 'scrape'): Promise<unknown> {
  const answer = next(program.process);
  program.process.send(question);
  return await answer;
}

function enqueue(jobs: JobServiceClient, queue: string): Promise<void> {
  return new Promise((resolve, reject) => {
    jobs.enqueue(EnqueueRequest.fromPartial({ job: { queue } }), (error: ServiceError | null) =>
      error === null ? resolve() : reject(error),
    );
  });
}

/** CPU-µs of the process for each of so many calls. */
async function drive(program: Program, jobs: JobServiceClient, count: number, queueOf: (call: number) => string): Promise<number> {
  const before = used.parse(await ask(program, 'cpu')).cpuMicros;
  let left = count;
  const caller = async () => {
    for (; left > 0;) await enqueue(jobs, queueOf((left -= 1)));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
  return (used.parse(await ask(program, 'cpu')).cpuMicros - before) / count;
}

/** By variant, each round in another order: the first one to be started and the first one to be called may be at an advantage. */
async function roundOf(round: number): Promise<Record<Variant, number>> {
  const order = VARIANTS.map((_, place) => VARIANTS[(place + round) % VARIANTS.length] ?? 'on');
  const program = await start(order);
  const micros = { on: 0, off: 0, control: 0 };
  try {
    for (let turn = 0; turn < WARM_UP_TURNS + TURNS; turn += 1) {
      for (const [place, jobs] of program.served.entries()) {
        const each = await drive(program, jobs, perTurn, () => 'q');
        if (turn >= WARM_UP_TURNS) micros[order[place] ?? 'on'] += each / TURNS;
      }
    }
  } finally {
    await stop(program);
  }
  return micros;
}

/** Of the time in which a service with metrics was at work: what was spent in them, and in the library that they use. */
async function profiledShare(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'stint-profile-'));
  try {
    const program = await start(['on'], { more: ['--cpu-prof', `--cpu-prof-dir=${folder}`] });
    for (const jobs of program.served) await drive(program, jobs, PROFILED_CALLS, () => 'q');
    await stop(program);
    // Another thread, which compiles, writes one too: the service's is the longest.
    const profiles = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
    const longest = profiles.toSorted((one, other) => other.length - one.length)[0] ?? '';
    return shareOf(parseProfile(longest), /ops\/metrics\/|prom-client/);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function scrapesOf(queuesByName: number): Promise<{ readonly byName: number; readonly ms: Spread; readonly bytes: number }> {
  const program = await start(['on'], { queuesByName });
  try {
    for (const jobs of program.served) await drive(program, jobs, QUEUES * 3, (call) => `queue-${call % QUEUES}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const scrapes = [];
    for (let scrape = 0; scrape < SCRAPES; scrape += 1) scrapes.push(scraped.parse(await ask(program, 'scrape')));
    return { byName: queuesByName, ms: spreadOf(scrapes.map(({ milliseconds }) => milliseconds)), bytes: scrapes.at(-1)?.bytes ?? 0 };
  } finally {
    await stop(program);
  }
}

const server = await PostgresServer.create();
try {
  for (const variant of VARIANTS) await administer(server.url, `create database "${variant}"`);
  const told: Record<Variant, number>[] = [];
  for (let round = 0; round < rounds; round += 1) {
    told.push(await roundOf(round));
    console.log(JSON.stringify({ round, ...told.at(-1) }));
  }
  const ofEach = (figure: (one: Record<Variant, number>) => number) => spreadOf(told.map((one) => figure(one)));
  console.log(
    JSON.stringify({
      calls: perTurn * TURNS,
      atOnce: AT_ONCE,
      on: ofEach(({ on }) => on),
      off: ofEach(({ off, control }) => (off + control) / 2),
    }),
  );
  console.log(
    JSON.stringify({
      ratio: ofEach(({ on, off, control }) => (2 * on) / (off + control)),
      control: ofEach(({ off, control }) => control / off),
    }),
  );
  console.log(JSON.stringify({ calls: PROFILED_CALLS, profiledShare: await profiledShare() }));
  for (const byName of [100, QUEUES]) console.log(JSON.stringify({ queues: QUEUES, ...(await scrapesOf(byName)) }));
} finally {
  await server.remove();
}
