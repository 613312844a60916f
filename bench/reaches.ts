import type { Cell, Variant } from './cells.ts';

/** What the figures are held against: `wanted` at least, `aim` at best; of a time, at most. */
export interface Reach {
  readonly cell: Cell['name'];
  readonly of: Variant;
  readonly against: Variant;
  /** Jobs a second, or a time of the turns. */
  readonly figure: 'rate' | 'p50' | 'p99';
  readonly wanted: number;
  readonly aim: number;
}

export const reaches: readonly Reach[] = [
  { cell: 'enqueue-64', of: 'service', against: 'ungrouped', figure: 'rate', wanted: 1.8, aim: 3 },
  { cell: 'enqueue-64', of: 'service', against: 'graphile', figure: 'rate', wanted: 4, aim: 10 },
  { cell: 'enqueue-64', of: 'cheap', against: 'graphile', figure: 'rate', wanted: 4, aim: 10 },
  { cell: 'enqueue-batch', of: 'service', against: 'graphile', figure: 'rate', wanted: 1.3, aim: 2 },
  { cell: 'drain', of: 'work', against: 'graphile', figure: 'rate', wanted: 0.9, aim: 2 },
  { cell: 'drain', of: 'work', against: 'pg-boss', figure: 'rate', wanted: 1.3, aim: 3 },
  { cell: 'lifecycle-batch', of: 'service', against: 'graphile', figure: 'rate', wanted: 1.3, aim: 2.5 },
  { cell: 'claim-ack-64', of: 'service', against: 'ungrouped', figure: 'rate', wanted: 2.5, aim: 4 },
  { cell: 'claim-ack-64', of: 'service', against: 'graphile', figure: 'rate', wanted: 1.2, aim: 2.5 },
  { cell: 'claim-ack-64', of: 'cheap', against: 'graphile', figure: 'rate', wanted: 1.2, aim: 2.5 },
  { cell: 'claim-ack-64', of: 'next', against: 'graphile', figure: 'rate', wanted: 1.2, aim: 2.5 },
  { cell: 'claim-ack-64', of: 'cheap-next', against: 'graphile', figure: 'rate', wanted: 1.2, aim: 2.5 },
  { cell: 'start-latency-idle', of: 'service', against: 'graphile', figure: 'p50', wanted: 0.7, aim: 0.4 },
  { cell: 'start-latency-idle', of: 'service', against: 'graphile', figure: 'p99', wanted: 0.7, aim: 0.4 },
  { cell: 'lifecycle-batch', of: 'service', against: 'raw-1', figure: 'rate', wanted: 0.7, aim: 0.9 },
  { cell: 'lifecycle-batch', of: 'service', against: 'raw-2', figure: 'rate', wanted: 0.7, aim: 0.9 },
];

/** Where more is worse. */
export function isCost({ figure }: { readonly figure: string }): boolean {
  return figure !== 'rate';
}
