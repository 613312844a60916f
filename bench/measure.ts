import { setTimeout as pause } from 'node:timers/promises';
import type { BenchProcess } from './bench-process.ts';
import { credentials } from '@grpc/grpc-js';
import { PutQueueRequest, QueueServiceClient } from '../gen/stint/v1/queue_service.ts';
import { call } from '../examples/call.ts';
import { type Cell, isCheap, isPeer, keysOf, serviceOf, type Variant } from './cells.ts';
import { cpuSecondsOf } from './cpu.ts';
import { turnTimesMs, mark, type Mark, type Task } from './messages.ts';
import { tasksOf } from './placement.ts';
import type { Stage } from './stage.ts';
import { quantile } from './statistics.ts';

/** What one measurement of a cell found. */
export interface Measured {
  /** Also those of the load beside it, like all that follows but the times. */
  readonly jobs: number;
  readonly jobsPerSecond: number;
  /** Of a turn: all calls that one job or batch takes; of a probe, from enqueue to start. */
  readonly turnMs: { readonly p50: number; readonly p95: number; readonly p99: number };
  /** CPU seconds; NaN on a system that does not tell. The raw pipeline, or a peer, is client and server in one: `client`. */
  readonly cpuSeconds: { readonly client: number; readonly server: number; readonly postgres: number };
  /** CPU of the busiest load process, as a share of one core: near 1 it is the client that limits. */
  readonly busiestClient: number;
  readonly walBytes: number;
  /** Transactions that wrote. */
  readonly writes: number;
}

export interface Wish {
  readonly cell: Cell;
  readonly variant: Variant;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

interface Assignment {
  readonly process: BenchProcess;
  readonly task: Task;
}

/** Of the measured time; compilers and caches are warm by then. */
const WARM_UP_SHARE = 0.3;
const MIN_WARM_UP_SECONDS = 0.5;
/** Jobs laid in beyond what the last rate needs. */
const BACKLOG_MARGIN = 1.4;
/** Each try lays in twice as much as the one before. */
const MAX_TRIES = 5;
const FILL_BATCH = 500;

/** Measures cells on a stage, and remembers their rates: the next backlog is made by them. */
export class Meter {
  readonly #stage: Stage;
  readonly #rates = new Map<string, number>();
  #queues = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async measure(wish: Wish): Promise<Measured> {
    const { cell, variant } = wish;
    const key = `${cell.name}/${variant}`;
    let rate = this.#rates.get(key) ?? cell.backlogPerSecond ?? 0;
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const measured = await this.#try(wish, cell.backlogPerSecond === undefined ? 0 : rate * BACKLOG_MARGIN);
      if (measured !== null) {
        this.#rates.set(key, measured.jobsPerSecond);
        return measured;
      }
      rate *= 2;
    }
    throw new Error(`${key} empties its backlog however large it is`);
  }

  /** Null when the backlog ran dry. */
  async #try({ cell, variant, seconds, signal }: Wish, backlogPerSecond: number): Promise<Measured | null> {
    const warmUpSeconds = Math.max(MIN_WARM_UP_SECONDS, (cell.warmUpShare ?? WARM_UP_SHARE) * seconds);
    const queue = `bench-${(this.#queues += 1)}`;
    const calls = Math.ceil((backlogPerSecond * (warmUpSeconds + seconds)) / FILL_BATCH);
    if (serviceOf(variant) === 'service') await this.#stage.replicas.set(cell.replicas ?? 1);
    // A peer begins anew by it, and a thousand queues are made before they are used.
    if (calls > 0 || isPeer(variant) || cell.own === 'queues')
      await this.#fillerOf(variant).ask({
        kind: 'fill',
        target: this.#stage.databaseOf(variant),
        queue,
        queues: cell.queues,
        batch: FILL_BATCH,
        keys: keysOf(variant),
        calls,
      });
    if (variant === 'bounded') await this.#bound(queue);
    const main = this.#assign(cell, variant, queue);
    const beside = cell.besideCallers === undefined ? [] : this.#assignBeside(cell.besideCallers, variant, `${queue}-beside`);
    const all = [...main, ...beside];
    try {
      await Promise.all(all.map(({ process, task }) => process.ask({ kind: 'start', task })));
      await pause(warmUpSeconds * 1_000, undefined, { signal });
      const before = await this.#sample(variant, all);
      await pause(seconds * 1_000, undefined, { signal });
      const after = await this.#sample(variant, all);
      const times = await stopAll(main);
      await stopAll(beside);
      return after.marks.some(({ ranDry }) => ranDry) ? null : difference(before, after, times);
    } catch (error) {
      await Promise.allSettled(all.map(({ process }) => process.ask({ kind: 'stop' })));
      throw error;
    }
  }

  #fillerOf(variant: Variant): BenchProcess {
    const { pipeline, peers } = this.#stage;
    const [peer] = isPeer(variant) ? peers[variant] : [];
    return peer ?? pipeline;
  }

  /** Latency is measured by one process, whose clock tells both ends of it. */
  #loadersOf({ load }: Cell, variant: Variant): readonly BenchProcess[] {
    const { pipeline, probe, clients, peers, cheap } = this.#stage;
    if (isPeer(variant)) return load === 'probe' ? peers[variant].slice(0, 1) : peers[variant];
    if (serviceOf(variant) === null) return [pipeline];
    if (isCheap(variant)) return cheap === null ? [] : [cheap];
    return load === 'probe' ? [probe] : clients;
  }

  #assign(cell: Cell, variant: Variant, queue: string): readonly Assignment[] {
    const serving = this.#serving(variant);
    const targets = serving.length === 0 ? [this.#stage.databaseOf(variant)] : serving.map(({ address }) => address);
    const loaders = this.#loadersOf(cell, variant);
    return assign(loaders, tasksOf(cell, variant, { targets, queue }, loaders.length));
  }

  /** None of a variant that speaks to no service. */
  #serving(variant: Variant): readonly BenchProcess[] {
    const { replicas, services } = this.#stage;
    const service = serviceOf(variant);
    return service === null ? [] : service === 'service' ? replicas.running : [services[service]];
  }

  /** So wide that nothing ever meets them. */
  async #bound(name: string): Promise<void> {
    const client = new QueueServiceClient(this.#stage.services.service.address, credentials.createInsecure());
    const request = PutQueueRequest.fromPartial({ queue: { name, maxInFlight: 1_000_000, maxQueued: 10_000_000 } });
    await call(client.putQueue.bind(client), request);
    client.close();
  }

  #assignBeside(callers: number, variant: Variant, queue: string): readonly Assignment[] {
    const target = this.#stage.services[serviceOf(variant) ?? 'service'].address;
    const { clients } = this.#stage;
    const cell: Cell = { name: 'beside', load: 'lifecycle', batch: 1, callers, variants: [variant] };
    return assign(clients, tasksOf(cell, 'service', { targets: [target], queue }, clients.length));
  }

  async #sample(variant: Variant, assignments: readonly Assignment[]): Promise<Sample> {
    const { sql, postgresPid } = this.#stage;
    const [row] = await sql`
      select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as wal, pg_snapshot_xmax(pg_current_snapshot())::text as xid`;
    const marks = await Promise.all(assignments.map(async ({ process }) => mark.parse(await process.ask({ kind: 'mark' }))));
    const serving = this.#serving(variant);
    return {
      atMs: performance.now(),
      marks,
      clients: assignments.map(({ process }) => cpuSecondsOf(process.pid)),
      server: serving.length === 0 ? Number.NaN : serving.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0),
      postgres: cpuSecondsOf(postgresPid),
      wal: Number(row?.['wal']),
      writes: Number(row?.['xid']),
    };
  }
}

interface Sample {
  readonly atMs: number;
  readonly marks: readonly Mark[];
  readonly clients: readonly number[];
  readonly server: number;
  readonly postgres: number;
  readonly wal: number;
  readonly writes: number;
}

/** A process without a task stays idle. */
function assign(processes: readonly BenchProcess[], tasks: readonly (Task | null)[]): readonly Assignment[] {
  return processes.flatMap((process, index) => {
    const task = tasks[index] ?? null;
    return task === null ? [] : [{ process, task }];
  });
}

async function stopAll(assignments: readonly Assignment[]): Promise<readonly number[]> {
  const times = await Promise.all(assignments.map(async ({ process }) => turnTimesMs.parse(await process.ask({ kind: 'stop' }))));
  return times.flat();
}

function difference(before: Sample, after: Sample, times: readonly number[]): Measured {
  const spans = after.marks.map((end, index) => {
    const begin = before.marks[index] ?? end;
    return { jobs: end.jobs - begin.jobs, seconds: (end.atMs - begin.atMs) / 1_000 };
  });
  const clients = after.clients.map((seconds, index) => seconds - (before.clients[index] ?? 0));
  const sorted = times.toSorted((a, b) => a - b);
  return {
    jobs: spans.reduce((sum, { jobs }) => sum + jobs, 0),
    // Each process by its own clock: it is not asked at the same instant as the others.
    jobsPerSecond: spans.reduce((sum, { jobs, seconds }) => sum + jobs / seconds, 0),
    turnMs: { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), p99: quantile(sorted, 0.99) },
    cpuSeconds: {
      client: clients.reduce((sum, seconds) => sum + seconds, 0),
      server: after.server - before.server,
      postgres: after.postgres - before.postgres,
    },
    busiestClient: Math.max(...clients) / ((after.atMs - before.atMs) / 1_000),
    walBytes: after.wal - before.wal,
    writes: after.writes - before.writes,
  };
}
