/** What is measured: each cell is a load, and the variants that it is run on in every round. */
import type { Load, Place } from './messages.ts';

/**
 * `service`: the service as it is. `bounded`: the same, on a queue whose bounds are never reached, so that its gate is kept. `fair`: the same,
 * with jobs of a hundred fairness keys in turn. `keyed`: the same, with jobs of ten thousand concurrency keys in turn, so that each finds a slot.
 * `ungrouped`: the same service, each item a commit of its own. `raw-1` and `raw-2`: the statements of the service without gRPC and engine,
 * over one and two connections.
 */
export type Variant = 'service' | 'bounded' | 'fair' | 'keyed' | 'ungrouped' | 'raw-1' | 'raw-2';

/** Which of the services a variant speaks to; null: none. */
export function serviceOf(variant: Variant): 'service' | 'ungrouped' | null {
  if (variant === 'raw-1' || variant === 'raw-2') return null;
  return variant === 'ungrouped' ? 'ungrouped' : 'service';
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
  readonly variants: readonly Variant[];
  /** Jobs a second that are laid in before the measurement, in the first round: later ones know the rate. Default: none. */
  readonly backlogPerSecond?: number;
  /** Queues over which the jobs are spread, all of them named in each claim. Default: 1. */
  readonly queues?: number;
  /** Callers of whole unary lifecycles beside it, on another queue. */
  readonly besideCallers?: number;
}

const GROUPING: readonly Variant[] = ['service', 'ungrouped'];
const BOUNDED: readonly Variant[] = ['service', 'bounded'];
const FAIR: readonly Variant[] = ['service', 'fair'];
const KEYED: readonly Variant[] = ['service', 'keyed'];
const PIPELINES: readonly Variant[] = ['service', 'raw-1', 'raw-2'];

export const cells: readonly Cell[] = [
  { name: 'enqueue-1', load: 'enqueue', batch: 1, callers: 1, variants: GROUPING },
  { name: 'enqueue-16', load: 'enqueue', batch: 1, callers: 16, variants: GROUPING },
  { name: 'enqueue-64', load: 'enqueue', batch: 1, callers: 64, variants: GROUPING },
  { name: 'enqueue-256', load: 'enqueue', batch: 1, callers: 256, variants: GROUPING },
  { name: 'enqueue-batch', load: 'enqueue', batch: 100, callers: 4, variants: PIPELINES },
  { name: 'claim-ack-1', load: 'claim-settle', batch: 1, callers: 1, variants: GROUPING, backlogPerSecond: 600 },
  { name: 'claim-ack-16', load: 'claim-settle', batch: 1, callers: 16, variants: GROUPING, backlogPerSecond: 3_000 },
  { name: 'claim-ack-64', load: 'claim-settle', batch: 1, callers: 64, variants: GROUPING, backlogPerSecond: 5_000 },
  { name: 'claim-settle-batch', load: 'claim-settle', batch: 100, callers: 4, variants: PIPELINES, backlogPerSecond: 15_000 },
  { name: 'lifecycle-64', load: 'lifecycle', batch: 1, callers: 64, variants: GROUPING },
  { name: 'lifecycle-batch', load: 'lifecycle', batch: 100, callers: 4, variants: PIPELINES },
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
  { name: 'start-latency-idle', load: 'probe', batch: 1, callers: 1, variants: ['service'] },
  { name: 'start-latency-loaded', load: 'probe', batch: 1, callers: 1, variants: ['service'], besideCallers: 16 },
];

/** What the figures are held against: `wanted` at least, `aim` at best. */
export interface Reach {
  readonly cell: string;
  readonly of: Variant;
  readonly against: Variant;
  readonly wanted: number;
  readonly aim: number;
}

export const reaches: readonly Reach[] = [
  { cell: 'enqueue-64', of: 'service', against: 'ungrouped', wanted: 1.8, aim: 3 },
  { cell: 'claim-ack-64', of: 'service', against: 'ungrouped', wanted: 2.5, aim: 4 },
  { cell: 'lifecycle-batch', of: 'service', against: 'raw-1', wanted: 0.6, aim: 0.9 },
  { cell: 'lifecycle-batch', of: 'service', against: 'raw-2', wanted: 0.6, aim: 0.9 },
];
