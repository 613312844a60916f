// What many subscribers and awaits cost one replica: CPU of the service and of its Postgres while nothing happens, memory of each
// stream, statements, and how long it takes to wake all awaits.
//
//   npm run subscribers -- [--subscribers 10000] [--seconds 60] [--connections 10] [--queues 100] [--only everything,queue,job,awaits]
import { type ChildProcess, spawn } from 'node:child_process';
import { loadavg } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { connect, type Stint } from '../../test/contract/stint.ts';
import { lowestLevel } from '../../test/leaks/level.ts';
import { startMeasuredService } from '../../test/support/measured-service.ts';
import { PostgresServer } from '../../test/support/postgres-server.ts';
import { cpuSecondsOf } from '../cpu.ts';
import { quantile } from '../statistics.ts';
import type { Ask, Scope, Told } from './streams-in-child.ts';

const { values } = parseArgs({
  options: {
    subscribers: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '60' },
    connections: { type: 'string', default: '10' },
    queues: { type: 'string', default: '100' },
    only: { type: 'string', default: 'everything,queue,job,awaits' },
  },
});
const [count, seconds, queues] = [values.subscribers, values.seconds, values.queues].map(Number) as [number, number, number];

const only = new Set(values.only.split(','));
const SCOPES = ['everything', 'queue', 'job'] as const;

/** The streams' opening is behind, and the first checkpoint of each: from here on they cost what they cost for good. */
const SETTLE_MS = 65_000;
const BATCH = 1_000;
const WAKE_MS = 60_000;
const LEASE_SECONDS = 3_600n;

const server = await PostgresServer.create();
const service = await startMeasuredService(server.url);
const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
const client = spawn(
  process.execPath,
  ['--import', 'tsx', `${import.meta.dirname}/streams-in-child.ts`, service.address, values.connections],
  { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
);
const stint = connect(service.address);
try {
  await measure();
} finally {
  client.kill();
  stint.close();
  await sql.end();
  await service.stop();
  await server.remove();
}

/** At once, for people: the whole takes minutes. */
function told<Row>(row: Row): Row {
  console.error(JSON.stringify(row));
  return row;
}

async function measure(): Promise<void> {
  const { postmaster } = await postmasterOf();
  const jobIds = await leaseJobs(stint, 'awaited');
  const rows = [told({ what: 'nobody', ...(await idle(postmaster)) })];
  for (const scope of SCOPES.filter((one) => only.has(one))) rows.push(told(await subscribers(scope, jobIds, postmaster)));
  const wakes = only.has('awaits') ? await awaits(jobIds, rows, postmaster) : [];
  console.table(rows);
  console.table(wakes);
  console.log(JSON.stringify({ subscribers: count, seconds, idle: rows, wakes }));
}

async function awaits(jobIds: readonly Leased[], rows: object[], postmaster: number) {
  const before = await lowestLevel(service);
  await ask(client, { kind: 'await', jobIds: jobIds.map(({ jobId }) => jobId) });
  const kibibytes = await memory(before.heapBytes + before.externalBytes);
  rows.push(told({ what: 'awaits', kibibytes, ...(await idle(postmaster)) }));
  const apart = told(await wake('jobs that end together', jobIds));
  const one = await leaseJobs(stint, 'one', 1);
  await ask(client, { kind: 'await', jobIds: Array.from({ length: count }, () => one[0]?.jobId ?? '') });
  const together = told(await wake('one job', one));
  return [apart, together];
}

async function subscribers(scope: Scope, leased: readonly Leased[], postmaster: number) {
  const before = await lowestLevel(service);
  await ask(client, { kind: 'subscribe', scope, count, queues, jobIds: leased.map(({ jobId }) => jobId) });
  const kibibytes = await memory(before.heapBytes + before.externalBytes);
  const row = { what: `subscribers to ${scope}`, kibibytes, ...(await idle(postmaster)) };
  await ask(client, { kind: 'close' });
  return row;
}

/** KiB of each stream. */
async function memory(beforeBytes: number): Promise<number> {
  await pause(SETTLE_MS);
  const { heapBytes, externalBytes } = await lowestLevel(service);
  return Number(((heapBytes + externalBytes - beforeBytes) / count / 1024).toFixed(1));
}

interface Idle {
  readonly kibibytes?: number;
  /** In per cent of one core. */
  readonly service: number;
  readonly postgres: number;
  readonly together: number;
  readonly statementsPerSecond: number;
  /** Of the machine: what else runs on it is in every figure. */
  readonly load: number;
}

async function idle(postmaster: number): Promise<Idle> {
  const look = async () => ({ service: cpuSecondsOf(service.pid), postgres: cpuSecondsOf(postmaster), statements: await statements() });
  const before = await look();
  await pause(seconds * 1_000);
  const after = await look();
  const percent = (cpuSeconds: number) => Number(((cpuSeconds / seconds) * 100).toFixed(2));
  const [own, database] = [after.service - before.service, after.postgres - before.postgres];
  return {
    service: percent(own),
    postgres: percent(database),
    together: percent(own + database),
    statementsPerSecond: Number(((after.statements - before.statements) / seconds).toFixed(1)),
    load: Number((loadavg()[0] ?? Number.NaN).toFixed(1)),
  };
}

/** What ends the jobs, and when each await was told, in milliseconds from the answer to the last commit, and from the first call. */
async function wake(what: string, leased: readonly Leased[]) {
  const before = await statements();
  const woken = ask(client, { kind: 'woken' });
  const begun = performance.timeOrigin + performance.now();
  await Promise.all(
    batches(leased).map((batch) =>
      stint.settle({ settlements: batch.map(({ leaseToken }) => ({ leaseToken, action: { $case: 'ack', ack: {} } })) }, WAKE_MS),
    ),
  );
  const answered = performance.timeOrigin + performance.now();
  const told = await woken;
  if (!('wakes' in told)) throw new Error('the client answered another question');
  const after = told.wakes.map((wake) => wake - answered);
  const rounded = (milliseconds: number) => Math.round(milliseconds);
  return {
    what: `${count} awaits on ${what}`,
    commitsMs: rounded(answered - begun),
    firstMs: rounded(Math.min(...after)),
    medianMs: rounded(quantile(after, 0.5)),
    lastMs: rounded(Math.max(...after)),
    statements: (await statements()) - before,
    load: Number((loadavg()[0] ?? Number.NaN).toFixed(1)),
  };
}

interface Leased {
  readonly jobId: string;
  readonly leaseToken: string;
}

/** As many jobs as there are streams, held for longer than this takes. */
async function leaseJobs(on: Stint, queue: string, wanted = count): Promise<readonly Leased[]> {
  const leased: Leased[] = [];
  while (leased.length < wanted) {
    const size = Math.min(BATCH, wanted - leased.length);
    await on.enqueueBatch({ jobs: Array.from({ length: size }, () => ({ queue })) });
    const { jobs } = await on.claim({ workerId: 'w', queues: [queue], maxJobs: size, leaseDuration: { seconds: LEASE_SECONDS, nanos: 0 } });
    leased.push(...jobs.map(({ job, lease }) => ({ jobId: job?.jobId ?? '', leaseToken: lease?.leaseToken ?? '' })));
  }
  return leased;
}

function batches<Item>(items: readonly Item[]): (readonly Item[])[] {
  return Array.from({ length: Math.ceil(items.length / BATCH) }, (_, index) => items.slice(index * BATCH, (index + 1) * BATCH));
}

/** The next answer of the child. One question at a time. */
function ask(child: ChildProcess, question: Ask): Promise<Told> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('the client ended'));
    child.once('exit', onExit);
    child.once('message', (told: Told) => {
      child.off('exit', onExit);
      resolve(told);
    });
    child.send(question);
  });
}

/** Committed so far: each statement of the service is a transaction, or a part of one. Without what this asks itself. */
async function statements(): Promise<number> {
  await sql`select pg_stat_force_next_flush()`;
  const [row] = await sql<{ commits: number }[]>`select sum(xact_commit)::float8 as commits from pg_stat_database`;
  return row?.commits ?? Number.NaN;
}

/** The process that all sessions of the server are below. */
async function postmasterOf(): Promise<{ readonly postmaster: number }> {
  const [row] = await sql<{ pidfile: string }[]>`select pg_read_file('postmaster.pid') as pidfile`;
  return { postmaster: Number(row?.pidfile.split('\n')[0]) };
}
