/** How fast what is committed reaches those who follow it, and at what cost. */
import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import { BenchProcess, ownProgram } from './bench-process.ts';
import { NO_KEYS } from './cells.ts';
import { cpuSecondsOf } from './cpu.ts';
import { mark, type Task } from './messages.ts';
import type { Stage } from './stage.ts';
import { type Arrival, arrivals, type Delivered, delivered } from './subscriber-messages.ts';
import { quantile } from './statistics.ts';

export interface DeliverCell {
  readonly name: string;
  readonly subscribers: number;
  /** Of everything, of the queue that the load works on, or of one where nothing happens. */
  readonly scope: 'everything' | 'busy queue' | 'quiet queue';
  /** The replica that the subscribers ask, seen from the one that commits. */
  readonly on: 'same' | 'other';
  /** Half of what the load reaches alone in the same run; or all that goes. */
  readonly load: 'half' | 'full';
}

/** The first one has nobody subscribe: what the others are held against, and half of what `half` takes. */
const BASE: DeliverCell = { name: 'deliver-0', subscribers: 0, scope: 'everything', on: 'same', load: 'full' };

export const deliverCells: readonly DeliverCell[] = [
  BASE,
  { ...BASE, name: 'deliver-1', subscribers: 1 },
  { ...BASE, name: 'deliver-100', subscribers: 100 },
  { ...BASE, name: 'deliver-1000', subscribers: 1_000 },
  { ...BASE, name: 'deliver-1000-elsewhere', subscribers: 1_000, scope: 'quiet queue' },
  { ...BASE, name: 'deliver-latency-same', subscribers: 1, load: 'half' },
  { ...BASE, name: 'deliver-latency-other', subscribers: 1, load: 'half', on: 'other' },
];

export interface DeliverMeasured {
  readonly cell: string;
  readonly round: number;
  /** Settled, of the load. */
  readonly jobsPerSecond: number;
  readonly deliveriesPerSecond: number;
  /** Of the events that were committed meanwhile, what the slowest subscriber was told. NaN where nobody is to be told. */
  readonly keptUp: number;
  readonly eventsPerMessage: number;
  /** From the commit of each event, by the database's clock, until a subscriber had it. */
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** In shares of a core. */
  readonly cpu: { readonly service: number; readonly subscribers: number; readonly load: number; readonly postgres: number };
}

/** Enqueued, claimed, started, succeeded. */
const EVENTS_A_JOB = 4;
const LOAD = { load: 'lifecycle', batch: 100, keys: NO_KEYS } as const;
const CALLERS = 4;
const WARM_UP_SECONDS = 1;

export interface DeliverWish {
  readonly stage: Stage;
  readonly cell: DeliverCell;
  readonly round: number;
  readonly seconds: number;
  /** Of the load alone; null: not known, and measured first where it is needed. */
  readonly aloneJobsPerSecond: number | null;
  readonly signal: AbortSignal;
}

export async function measureDelivery(wish: DeliverWish): Promise<DeliverMeasured> {
  const { cell, stage } = wish;
  const alone = cell.load === 'full' ? null : (wish.aloneJobsPerSecond ?? (await measureDelivery({ ...wish, cell: BASE })).jobsPerSecond);
  const { address } = stage.services.service;
  const opened: BenchProcess[] = [];
  const start = async (...given: Parameters<typeof BenchProcess.start>) => {
    const process = await BenchProcess.start(...given);
    opened.push(process);
    return process;
  };
  try {
    const other =
      cell.on === 'same' ? null : await start('other replica', ownProgram('service'), { args: [stage.databaseOf('service'), 'service'] });
    const subscriber = cell.subscribers === 0 ? null : await start('subscribers', ownProgram('subscriber'));
    const queue = `deliver-${cell.name}-${wish.round}`;
    const scope = { everything: null, 'busy queue': queue, 'quiet queue': `${queue}-quiet` }[cell.scope];
    const subscription = { target: other?.address ?? address, subscribers: cell.subscribers, queue: scope, latency: alone !== null };
    await subscriber?.ask({ kind: 'subscribe', subscription });
    return await underLoad(wish, { subscriber, serving: other ?? stage.services.service, queue, alone });
  } finally {
    for (const process of opened.toReversed()) await process.stop();
  }
}

interface Parts {
  readonly subscriber: BenchProcess | null;
  /** Who serves the subscribers. */
  readonly serving: BenchProcess;
  readonly queue: string;
  readonly alone: number | null;
}

async function underLoad({ stage, cell, round, seconds, signal }: DeliverWish, parts: Parts): Promise<DeliverMeasured> {
  const { subscriber, serving, queue, alone } = parts;
  const { clients, services } = stage;
  const each = Math.ceil(CALLERS / clients.length);
  // Every caller begins its turns so far apart that all of them together make half the rate.
  const everyMs = alone === null ? 0 : (each * clients.length * LOAD.batch * 1_000) / (alone / 2);
  const task: Task = { ...LOAD, target: services.service.address, queue, callers: each, everyMs };
  const sample = async () => ({
    atMs: performance.now(),
    jobs: (await Promise.all(clients.map(async (client) => mark.parse(await client.ask({ kind: 'mark' }))))).reduce(
      (sum, { jobs }) => sum + jobs,
      0,
    ),
    told: subscriber === null ? NOTHING : delivered.parse(await subscriber.ask({ kind: 'count' })),
    cpu: {
      service: cpuSecondsOf(serving.pid),
      subscribers: subscriber === null ? 0 : cpuSecondsOf(subscriber.pid),
      load: clients.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0),
      postgres: cpuSecondsOf(stage.postgresPid),
    },
  });
  try {
    await Promise.all(clients.map((client) => client.ask({ kind: 'start', task })));
    await pause(WARM_UP_SECONDS * 1_000, undefined, { signal });
    const before = await sample();
    await pause(seconds * 1_000, undefined, { signal });
    const after = await sample();
    const took = (after.atMs - before.atMs) / 1_000;
    const jobs = after.jobs - before.jobs;
    const events = after.told.events - before.told.events;
    const share = (of: keyof typeof before.cpu) => (after.cpu[of] - before.cpu[of]) / took;
    const arrived = subscriber === null ? [] : arrivals.parse(await subscriber.ask({ kind: 'leave' }));
    const latencies = (await latenciesMs(stage.databaseOf('service'), arrived)).toSorted((a, b) => a - b);
    return {
      cell: cell.name,
      round,
      jobsPerSecond: jobs / took,
      deliveriesPerSecond: events / took,
      keptUp: cell.scope === 'quiet queue' ? Number.NaN : (after.told.fewest - before.told.fewest) / (jobs * EVENTS_A_JOB),
      eventsPerMessage: events / (after.told.messages - before.told.messages),
      latencyMs: { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) },
      cpu: { service: share('service'), subscribers: share('subscribers'), load: share('load'), postgres: share('postgres') },
    };
  } finally {
    await Promise.allSettled(clients.map((client) => client.ask({ kind: 'stop' })));
  }
}

/** One for each event: the row of the journal that tells it was written by the transaction whose commit is meant. */
async function latenciesMs(database: string, arrived: readonly Arrival[]): Promise<number[]> {
  if (arrived.length === 0) return [];
  const sql = postgres(database, { max: 1 });
  try {
    const rows = await sql<{ at: string; committedAtMs: number }[]>`
      select (extract(epoch from at) * 1000000)::bigint::text as at,
             extract(epoch from pg_xact_commit_timestamp(xmin))::float8 * 1000 as "committedAtMs" from stint.journal`;
    const committedAtMs = new Map(rows.map((row) => [row.at, row.committedAtMs]));
    return arrived.flatMap(({ atMicros, cameAtMs, events }) => {
      const took = cameAtMs - (committedAtMs.get(atMicros) ?? Number.NaN);
      return Array.from({ length: events }, () => took);
    });
  } finally {
    await sql.end();
  }
}

const NOTHING: Delivered = { atMs: 0, events: 0, messages: 0, bytes: 0, fewest: 0 };

const COLUMNS = [
  'cell',
  'jobs/s',
  'deliveries/s',
  'kept up',
  'events/message',
  'p50 ms',
  'p99 ms',
  'service core',
  'subscribers core',
  'load core',
  'postgres core',
  'service µs/delivery',
];

/** Medians over the rounds. */
export function deliverTable(entries: readonly DeliverMeasured[]): string {
  const names = [...new Set(entries.map(({ cell }) => cell))];
  const rows = names.map((name) => {
    const own = entries.filter(({ cell }) => cell === name);
    const median = (pickOf: (one: DeliverMeasured) => number, digits: number) => {
      const value = quantile(
        own.map(pickOf).toSorted((a, b) => a - b),
        0.5,
      );
      return Number.isFinite(value) ? value.toFixed(digits) : '-';
    };
    return [
      name,
      median(({ jobsPerSecond }) => jobsPerSecond, 0),
      median(({ deliveriesPerSecond }) => deliveriesPerSecond, 0),
      median(({ keptUp }) => keptUp, 2),
      median(({ eventsPerMessage }) => eventsPerMessage, 1),
      median(({ latencyMs }) => latencyMs.p50, 1),
      median(({ latencyMs }) => latencyMs.p99, 1),
      median(({ cpu }) => cpu.service, 2),
      median(({ cpu }) => cpu.subscribers, 2),
      median(({ cpu }) => cpu.load, 2),
      median(({ cpu }) => cpu.postgres, 2),
      median(({ cpu, deliveriesPerSecond }) => (1e6 * cpu.service) / deliveriesPerSecond, 2),
    ];
  });
  return [COLUMNS, ...rows].map((row) => row.join(' | ')).join('\n');
}
