// Many jobs through one queue, from enqueue to ack: how fast, and how large tables and indexes are along the way.
//
//   npm run long-run -- [--jobs 10000000] [--retention 900] [--window 60] [--batch 100] [--callers 4] [--backlog 1000]
//
// `--retention`: seconds that the queue keeps a job that is over; what was kept levels off behind it.
import { loadavg } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Sql } from 'postgres';
import { durationOfMs } from '../../examples/duration.ts';
import { connect } from '../../test/contract/stint.ts';
import { grpcRoute } from '../grpc-route.ts';
import { quantile } from '../statistics.ts';
import { alone, type Alone } from './alone.ts';
import { Cycles } from './cycles.ts';
import { violationsIn } from './soundness.ts';

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '10000000' },
    retention: { type: 'string', default: '900' },
    window: { type: 'string', default: '60' },
    batch: { type: 'string', default: '100' },
    callers: { type: 'string', default: '4' },
    backlog: { type: 'string', default: '1000' },
  },
});
const [jobs, retention, windowSeconds, batch, callers, backlog] = [
  values.jobs,
  values.retention,
  values.window,
  values.batch,
  values.callers,
  values.backlog,
].map(Number) as [number, number, number, number, number, number];

const QUEUE = 'long';

interface Window {
  readonly seconds: number;
  readonly millionJobs: number;
  readonly jobsPerSecond: number;
  readonly claimP50Ms: number;
  readonly claimP99Ms: number;
  readonly load: number;
  /** MiB of a table and of its indexes, partitions together. */
  readonly sizes: Readonly<Record<string, readonly [table: number, indexes: number]>>;
}

await alone(run);

async function run({ replica, sql, ending, end }: Alone): Promise<void> {
  const stint = connect(replica.address);
  await stint.putQueue({ queue: { name: QUEUE, retention: durationOfMs(retention * 1_000) }, updateMask: ['retention'] });
  const route = await grpcRoute({ target: replica.address, queue: QUEUE, batch, keys: { fairness: 0, concurrency: 0 } });
  for (let laid = 0; laid < backlog; laid += batch) await route.enqueue();
  const cycles = new Cycles(route, callers, ending);
  const windows: Window[] = [];
  for (let done = 0; done < jobs && !ending.aborted;) {
    const { jobs: more, ...window } = await nextWindow(sql, cycles, ending, windows.length);
    done += more;
    windows.push({ ...window, millionJobs: rounded(done / 1e6), jobsPerSecond: Math.round(more / windowSeconds) });
    console.error(JSON.stringify(windows.at(-1)));
  }
  end();
  await cycles.ended;
  await route.close();
  stint.close();
  const findings = await violationsIn(replica.address, ['default']);
  report(windows, findings);
}

async function nextWindow(sql: Sql, cycles: Cycles, ending: AbortSignal, number: number) {
  await Promise.race([pause(windowSeconds * 1_000, undefined, { signal: ending }).catch(() => undefined), cycles.ended]);
  const { jobs, claimsMs } = cycles.take();
  return {
    jobs,
    seconds: (number + 1) * windowSeconds,
    claimP50Ms: rounded(quantile(claimsMs, 0.5)),
    claimP99Ms: rounded(quantile(claimsMs, 0.99)),
    load: loadavg()[0] ?? Number.NaN,
    sizes: await sizes(sql),
  };
}

/** Of the tables that are larger than a page or two. */
async function sizes(sql: Sql): Promise<Window['sizes']> {
  const rows = await sql<{ name: string; heap: number; indexes: number }[]>`
    select coalesce(parent.relname, t.relname) as name, sum(pg_table_size(t.relid))::float8 / 1048576 as heap,
           sum(pg_indexes_size(t.relid))::float8 / 1048576 as indexes
      from pg_stat_user_tables t left join pg_inherits i on i.inhrelid = t.relid left join pg_class parent on parent.oid = i.inhparent
     where t.schemaname = 'stint' group by 1 having sum(pg_total_relation_size(t.relid)) > 262144 order by 1`;
  return Object.fromEntries(rows.map(({ name, heap, indexes }) => [name, [rounded(heap), rounded(indexes)]]));
}

function rounded(value: number): number {
  return Number(value.toFixed(1));
}

/** The table is for people, the last line for programs. */
function report(windows: readonly Window[], findings: readonly string[]): void {
  const names = [...new Set(windows.flatMap(({ sizes }) => Object.keys(sizes)))];
  console.table(
    windows.map(({ sizes, ...figures }) => ({
      ...figures,
      ...Object.fromEntries(names.map((name) => [`${name} MiB`, (sizes[name] ?? ['', '']).join(' + ')])),
    })),
  );
  for (const finding of findings) console.log(finding);
  console.log(JSON.stringify({ ...values, findings: findings.length, first: windows[0], last: windows.at(-1) }));
  if (findings.length > 0) process.exitCode = 1;
}
