/** What is measured: each cell is a load, and the variants that it is run on in every round. */
import type { Load, Place } from './messages.ts';

/**
 * Other people's queues over the same Postgres, and the loop that one writes by hand: `graphile` is graphile-worker, `pg-boss` itself,
 * `skip-locked` one table and three statements.
 */
export const PEERS = ['graphile', 'pg-boss', 'skip-locked'] as const;
export type Peer = (typeof PEERS)[number];

/**
 * `service`: the service as it is. `work`: the same, its workers on `Work` streams. `next`: the same, each ack asking for the next
 * job. `cheap` and `cheap-next`: the same, called by a client that costs little. `bounded`: the same, on a queue whose bounds are
 * never reached, so that its gate is kept. `fair`: the same, with jobs of a hundred fairness keys in turn. `keyed`: the same, with jobs of ten
 * thousand concurrency keys in turn, so that each finds a slot. `ungrouped`: the same service, each item a commit of its own. `raw-1` and
 * `raw-2`: the statements of the service without gRPC and engine, over one and two connections.
 */
export type Variant =
  'service' | 'work' | 'next' | 'cheap' | 'cheap-next' | 'bounded' | 'fair' | 'keyed' | 'ungrouped' | 'raw-1' | 'raw-2' | Peer;

/** Which of the services a variant speaks to; null: none. */
export function serviceOf(variant: Variant): 'service' | 'ungrouped' | null {
  if (variant === 'raw-1' || variant === 'raw-2' || isPeer(variant)) return null;
  return variant === 'ungrouped' ? 'ungrouped' : 'service';
}

export function isPeer(variant: Variant): variant is Peer {
  return PEERS.some((peer) => peer === variant);
}

export function isCheap(variant: Variant): boolean {
  return variant === 'cheap' || variant === 'cheap-next';
}

/** How workers come by jobs. */
export function throughOf(variant: Variant): NonNullable<Place['through']> {
  if (variant === 'work') return 'work';
  return variant === 'next' || variant === 'cheap-next' ? 'next' : 'claim';
}

export const NO_KEYS: Place['keys'] = { fairness: 0, concurrency: 0 };

/** Keys of the jobs, of each kind; 0: they have none. */
export function keysOf(variant: Variant): Place['keys'] {
  return { fairness: variant === 'fair' ? 100 : 0, concurrency: variant === 'keyed' ? 10_000 : 0 };
}

export interface Cell {
  readonly name: string;
  readonly load: Load;
  /** Jobs of one call; 1 uses the unary calls. */
  readonly batch: number;
  /** Calls in flight at once, over all clients. The raw pipeline has as many as connections. */
  readonly callers: number;
  /** Of variants that have others. */
  readonly callersOf?: Readonly<Partial<Record<Variant, number>>>;
  readonly variants: readonly Variant[];
  /** Jobs a second that are laid in before the measurement, in the first round: later ones know the rate. Default: none. */
  readonly backlogPerSecond?: number;
  /** Queues over which the jobs are spread, all of them named in each claim. Default: 1. */
  readonly queues?: number;
  /** Callers of whole unary lifecycles beside it, on another queue. */
  readonly besideCallers?: number;
  /** Replicas that the callers are spread over. Default: 1. */
  readonly replicas?: number;
  /** What each caller has for itself: its share of the queues, or a `Work` session. Default: all of a process share all. */
  readonly own?: 'queues' | 'session';
  /** Jobs that a `Work` session holds at once. */
  readonly credits?: number;
  /** Time before the measurement, of the measured time. Default: 0.3. */
  readonly warmUpShare?: number;
  /** Default: the payload that all rows have. */
  readonly payloadBytes?: number;
}

/** Calls in flight at once of a variant, over all its processes. */
export function callersOf({ callers, callersOf: others = {} }: Cell, variant: Variant): number {
  if (variant === 'raw-1') return 1;
  if (variant === 'raw-2') return 2;
  return others[variant] ?? callers;
}

const GROUPING: readonly Variant[] = ['service', 'ungrouped'];
const BOUNDED: readonly Variant[] = ['service', 'bounded'];
const FAIR: readonly Variant[] = ['service', 'fair'];
const KEYED: readonly Variant[] = ['service', 'keyed'];
const PIPELINES: readonly Variant[] = ['service', 'raw-1', 'raw-2'];
const UNARY: readonly Variant[] = ['service', 'cheap', 'ungrouped', ...PEERS];
const TURNING: readonly Variant[] = ['service', 'next', 'cheap', 'cheap-next', 'ungrouped', ...PEERS];
const DRAINS: readonly Variant[] = ['service', 'work', ...PEERS];
const BATCHES: readonly Variant[] = [...PIPELINES, ...PEERS];

/** As many calls as their pools have connections by default: more only wait for one. */
const POOLED: Cell['callersOf'] = { graphile: 10, 'pg-boss': 10, 'skip-locked': 10 };
/** What the documentation of graphile-worker measures with. */
const WORKING: Cell['callersOf'] = { ...POOLED, graphile: 24 };

export const cells: readonly Cell[] = [
  { name: 'enqueue-1', load: 'enqueue', batch: 1, callers: 1, variants: GROUPING },
  { name: 'enqueue-16', load: 'enqueue', batch: 1, callers: 16, variants: GROUPING },
  { name: 'enqueue-64', load: 'enqueue', batch: 1, callers: 64, callersOf: POOLED, variants: UNARY },
  { name: 'enqueue-256', load: 'enqueue', batch: 1, callers: 256, variants: GROUPING },
  { name: 'enqueue-batch', load: 'enqueue', batch: 100, callers: 4, variants: BATCHES },
  { name: 'claim-ack-1', load: 'claim-settle', batch: 1, callers: 1, variants: GROUPING, backlogPerSecond: 600 },
  { name: 'claim-ack-16', load: 'claim-settle', batch: 1, callers: 16, variants: GROUPING, backlogPerSecond: 3_000 },
  { name: 'claim-ack-64', load: 'claim-settle', batch: 1, callers: 64, callersOf: WORKING, variants: TURNING, backlogPerSecond: 5_000 },
  { name: 'claim-settle-batch', load: 'claim-settle', batch: 100, callers: 4, variants: PIPELINES, backlogPerSecond: 15_000 },
  { name: 'drain', load: 'claim-settle', batch: 100, callers: 4, variants: DRAINS, backlogPerSecond: 15_000 },
  { name: 'lifecycle-64', load: 'lifecycle', batch: 1, callers: 64, variants: GROUPING },
  { name: 'lifecycle-batch', load: 'lifecycle', batch: 100, callers: 4, variants: BATCHES },
  { name: 'bounded-lifecycle-64', load: 'lifecycle', batch: 1, callers: 64, variants: BOUNDED },
  { name: 'bounded-lifecycle-batch', load: 'lifecycle', batch: 100, callers: 4, variants: BOUNDED },
  { name: 'fair-enqueue-64', load: 'enqueue', batch: 1, callers: 64, variants: FAIR },
  { name: 'fair-enqueue-batch', load: 'enqueue', batch: 100, callers: 4, variants: FAIR },
  { name: 'fair-claim-settle-batch', load: 'claim-settle', batch: 100, callers: 4, variants: FAIR, backlogPerSecond: 15_000 },
  { name: 'fair-lifecycle-64', load: 'lifecycle', batch: 1, callers: 64, variants: FAIR },
  { name: 'keyed-enqueue-64', load: 'enqueue', batch: 1, callers: 64, variants: KEYED },
  { name: 'keyed-lifecycle-64', load: 'lifecycle', batch: 1, callers: 64, variants: KEYED },
  { name: 'keyed-lifecycle-batch', load: 'lifecycle', batch: 100, callers: 4, variants: KEYED },
  { name: 'claim-queues-1', load: 'claim-settle', batch: 10, callers: 8, variants: ['service'], backlogPerSecond: 8_000, queues: 1 },
  { name: 'claim-queues-10', load: 'claim-settle', batch: 10, callers: 8, variants: ['service'], backlogPerSecond: 8_000, queues: 10 },
  { name: 'claim-queues-1000', load: 'claim-settle', batch: 10, callers: 8, variants: ['service'], backlogPerSecond: 4_000, queues: 1_000 },
  { name: 'start-latency-idle', load: 'probe', batch: 1, callers: 1, variants: ['service', 'graphile', 'pg-boss'] },
  { name: 'start-latency-loaded', load: 'probe', batch: 1, callers: 1, variants: ['service'], besideCallers: 16 },
];
