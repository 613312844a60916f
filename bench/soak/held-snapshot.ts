// What a snapshot that somebody holds open does to a queue at full rate: latency of claims and throughput, window by window, and what
// lies dead in the hot tables meanwhile.
//
//   npm run held-snapshot -- [--seconds 300] [--window 10] [--batch 100] [--callers 4] [--backlog 1000] [--bounded] [--free]
//
// `--bounded` gives the queue a gate, `--free` holds no snapshot: the same run to compare with.
import { loadavg } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Sql } from 'postgres';
import { connect } from '../../test/contract/stint.ts';
import { grpcRoute } from '../grpc-route.ts';
import { quantile } from '../statistics.ts';
import { alone, type Alone } from './alone.ts';
import { Cycles } from './cycles.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    window: { type: 'string', default: '10' },
    batch: { type: 'string', default: '100' },
    callers: { type: 'string', default: '4' },
    backlog: { type: 'string', default: '1000' },
    bounded: { type: 'boolean', default: false },
    free: { type: 'boolean', default: false },
  },
});
const [seconds, windowSeconds, batch, callers, backlog] = [values.seconds, values.window, values.batch, values.callers, values.backlog].map(
  Number,
) as [number, number, number, number, number];

const QUEUE = 'held';
const WARM_UP_MS = 5_000;
/** Far above what is in flight or waits: the gate counts and refuses nothing. */
const BOUND = 1_000_000;

interface Window {
  readonly seconds: number;
  readonly jobsPerSecond: number;
  readonly claimP50Ms: number;
  readonly claimP99Ms: number;
  readonly load: number;
  /** Dead rows of the hot tables, as the statistics of Postgres tell them, in thousands. */
  readonly dead: Readonly<Record<string, number>>;
}

await alone(run);

async function run({ replica, sql, ending, end }: Alone): Promise<void> {
  if (values.bounded) await bound(replica.address);
  const route = await grpcRoute({ target: replica.address, queue: QUEUE, batch, keys: { fairness: 0, concurrency: 0 } });
  for (let laid = 0; laid < backlog; laid += batch) await route.enqueue();
  const cycles = new Cycles(route, callers, ending);
  await pause(WARM_UP_MS);
  const holder = values.free ? null : await holdSnapshot(sql);
  const windows: Window[] = [];
  cycles.take();
  for (let at = 0; at < seconds && !ending.aborted; at += windowSeconds) {
    await Promise.race([pause(windowSeconds * 1_000, undefined, { signal: ending }).catch(() => undefined), cycles.ended]);
    windows.push(await look(sql, cycles, at + windowSeconds));
    console.error(JSON.stringify(windows.at(-1)));
  }
  await holder?.();
  cycles.take();
  await pause(windowSeconds * 1_000);
  const released = await look(sql, cycles, seconds + windowSeconds);
  end();
  await cycles.ended;
  await route.close();
  report(windows, released);
}

async function bound(address: string): Promise<void> {
  const stint = connect(address);
  await stint.putQueue({ queue: { name: QUEUE, maxInFlight: BOUND, maxQueued: BOUND }, updateMask: ['max_in_flight', 'max_queued'] });
  stint.close();
}

/** Somebody's report that does not end. Gives what ends it. */
async function holdSnapshot(sql: Sql): Promise<() => Promise<void>> {
  const session = await sql.reserve();
  await session`begin isolation level repeatable read`;
  await session`select 1 from stint.epoch`;
  return async () => {
    await session`rollback`;
    session.release();
  };
}

async function look(sql: Sql, cycles: Cycles, at: number): Promise<Window> {
  const { jobs, claimsMs } = cycles.take();
  const tables = await sql<{ name: string; dead: number }[]>`
    select relname as name, n_dead_tup::float8 as dead from pg_stat_user_tables
     where schemaname = 'stint' and relname in ('ready', 'lease', 'deferred', 'gate') order by relname`;
  return {
    seconds: at,
    jobsPerSecond: Math.round(jobs / windowSeconds),
    claimP50Ms: rounded(quantile(claimsMs, 0.5)),
    claimP99Ms: rounded(quantile(claimsMs, 0.99)),
    load: loadavg()[0] ?? Number.NaN,
    dead: Object.fromEntries(tables.map(({ name, dead }) => [name, Math.round(dead / 1_000)])),
  };
}

function rounded(milliseconds: number): number {
  return Number(milliseconds.toFixed(1));
}

/** The table is for people, the last line for programs. */
function report(windows: readonly Window[], released: Window): void {
  console.table([...windows, released].map(({ dead, ...figures }) => ({ ...figures, ...dead })));
  const [first, last] = [windows[0], windows.at(-1)];
  if (first === undefined || last === undefined) return;
  const ratios = { p99: last.claimP99Ms / first.claimP99Ms, throughput: last.jobsPerSecond / first.jobsPerSecond };
  console.log(JSON.stringify({ ...values, first, last, released, ratios }));
}
