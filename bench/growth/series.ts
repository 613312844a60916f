/** How cost grows: in each series one thing grows, and all else stays as it is. */
import type { Cell } from '../cells.ts';

/** What a point may tell. CPU is in seconds for 1,000 jobs; `cpu` is of service and Postgres. Buffers are shared ones, of a statement. */
export const FIGURES = {
  jobsPerSecond: { title: 'jobs/s', digits: 0 },
  megabytesPerSecond: { title: 'MB/s of payload', digits: 2 },
  p50Ms: { title: 'p50 ms', digits: 2 },
  p99Ms: { title: 'p99 ms', digits: 2 },
  statementMs: { title: 'statement ms', digits: 2 },
  buffers: { title: 'buffers', digits: 0 },
  buffersBehindClaims: { title: 'buffers behind claims', digits: 0 },
  clientCpu: { title: 'client CPU', digits: 3 },
  serviceCpu: { title: 'service CPU', digits: 3 },
  postgresCpu: { title: 'Postgres CPU', digits: 3 },
  cpu: { title: 'both CPU', digits: 3 },
  walBytesPerJob: { title: 'WAL B/job', digits: 0 },
} as const;
export type FigureName = keyof typeof FIGURES;

/** A line of a series at one value of what grows. */
export interface Spot {
  readonly row: string;
  readonly at: number;
}

interface Series {
  /** What grows. */
  readonly axis: string;
  /** Columns of its table. */
  readonly figures: readonly FigureName[];
  /** Each in a panel of its own. */
  readonly plotted: readonly FigureName[];
}

const LOADED: readonly FigureName[] = [
  'jobsPerSecond',
  'p50Ms',
  'p99Ms',
  'clientCpu',
  'serviceCpu',
  'postgresCpu',
  'cpu',
  'walBytesPerJob',
];

export const series = {
  replicas: { axis: 'replicas', figures: LOADED, plotted: ['jobsPerSecond', 'cpu', 'p50Ms'] },
  backlog: {
    axis: 'ready jobs',
    figures: ['p50Ms', 'p99Ms', 'statementMs', 'buffers', 'buffersBehindClaims'],
    plotted: ['p50Ms', 'p99Ms', 'buffers'],
  },
  payload: {
    axis: 'payload bytes',
    figures: ['jobsPerSecond', 'megabytesPerSecond', ...LOADED.slice(1)],
    plotted: ['jobsPerSecond', 'megabytesPerSecond', 'cpu'],
  },
  queues: { axis: 'queues', figures: LOADED, plotted: ['jobsPerSecond', 'cpu', 'p50Ms'] },
  workers: { axis: 'connected workers', figures: LOADED, plotted: ['jobsPerSecond', 'cpu', 'p50Ms'] },
} as const satisfies Record<string, Series>;
export type SeriesName = keyof typeof series;

export const SERIES_NAMES: readonly SeriesName[] = ['replicas', 'backlog', 'payload', 'queues', 'workers'];

/** A spot whose load is a cell. */
export interface LoadedSpot extends Spot {
  readonly cell: Cell;
}

type Load = Omit<Cell, 'name' | 'variants'>;

/** Both as they are measured among the other cells. */
const LIFECYCLE: Load = { load: 'lifecycle', batch: 100, callers: 4 };
const CLAIM_ACK: Load = { load: 'claim-settle', batch: 1, callers: 64, backlogPerSecond: 5_000 };
const ENQUEUE: Load = { load: 'enqueue', batch: 1, callers: 64 };

/** A claim answers with 2 MiB and one job more, and no request is larger than 4 MiB. */
const CALL_BYTES = 2_000_000;
/** What a worker does at once. */
const CREDITS = 10;
/** Of the measured time: replicas that have just begun run code that is not compiled yet, and a thousand workers begin at once. */
const WARM_UP_SHARE = 1.5;

const replicaSpots = [1, 2, 4].flatMap((at) => [
  spot('lifecycle-batch', at, { ...LIFECYCLE, replicas: at }),
  spot('enqueue-64', at, { ...ENQUEUE, replicas: at }),
  spot('claim-ack-64', at, { ...CLAIM_ACK, replicas: at }),
]);

const payloadSpots = [100, 1_000, 10_000, 100_000, 1_000_000].map((at) =>
  spot('lifecycle', at, { ...LIFECYCLE, batch: Math.min(LIFECYCLE.batch, Math.floor(CALL_BYTES / at)), payloadBytes: at }),
);

const queueSpots = [1, 10, 100, 1_000].map((at) => spot('lifecycle', at, { ...LIFECYCLE, callers: 8, queues: at, own: 'queues' }));

const workerSpots = [1, 10, 100, 1_000].map((at) =>
  spot('drain', at, {
    ...{ load: 'claim-settle', batch: CREDITS, callers: at, own: 'session', credits: CREDITS },
    backlogPerSecond: 10_000,
  }),
);

/** Spots of a series whose load is a cell. A backlog is no load: see `backlogSpots`. */
export function loadedSpots(name: SeriesName): readonly LoadedSpot[] {
  const spots = { replicas: replicaSpots, backlog: [], payload: payloadSpots, queues: queueSpots, workers: workerSpots }[name];
  return spots.map(({ row, at, load }) => {
    const variants = name === 'workers' ? (['work'] as const) : (['service'] as const);
    return { row, at, cell: { ...load, name: `${name} ${at} ${row}`, variants, warmUpShare: WARM_UP_SHARE } };
  });
}

function spot(row: string, at: number, load: Load): Spot & { readonly load: Load } {
  return { row, at, load };
}

/** Ready jobs of a queue, beside which it is claimed. */
export const BACKLOGS: readonly number[] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/** Jobs of a claim. */
export const CLAIMS: readonly number[] = [1, 100];

export const claimRow = (jobs: number): string => `claim of ${jobs}`;
