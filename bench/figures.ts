import type { Cell, Variant } from './cells.ts';
import type { Measured } from './measure.ts';
import { isCost, type Reach, reaches } from './reaches.ts';
import { type Spread, spreadOf } from './statistics.ts';

/** A measurement and where it belongs. */
export interface Entry {
  readonly cell: Cell['name'];
  readonly variant: Variant;
  readonly round: number;
  readonly measured: Measured;
}

/** Of one cell and variant, over all rounds. */
export interface Figures {
  readonly cell: Cell['name'];
  readonly variant: Variant;
  readonly jobsPerSecond: Spread;
  readonly turnMs: { readonly p50: Spread; readonly p95: Spread; readonly p99: Spread };
  /** CPU seconds for 1,000 jobs. */
  readonly cpuPer1000: { readonly client: Spread; readonly server: Spread; readonly postgres: Spread };
  readonly jobsPerServerCpuSecond: Spread;
  readonly busiestClient: Spread;
  readonly walBytesPerJob: Spread;
  /** Jobs for each transaction that wrote: how far they were gathered. */
  readonly jobsPerWrite: Spread;
}

/** How a reach was met: the ratio within each round, so that what disturbs a round disturbs both sides. */
export interface Outcome extends Pick<Reach, 'wanted' | 'aim'> {
  readonly cell: string;
  readonly of: string;
  readonly against: string;
  /** Jobs a second; or a time of the turns, or shared buffers of a statement: where more is worse. */
  readonly figure: Reach['figure'] | 'buffers';
  readonly ratio: Spread;
  /** The same of jobs for each CPU second that is spent behind the clients: clients take none of it. Null for a time. */
  readonly ratioByCpu: Spread | null;
  readonly verdict: 'missed' | 'reached' | 'aim reached';
}

/** In the order in which cells and variants were first met. */
export function figuresOf(entries: readonly Entry[]): readonly Figures[] {
  const groups = new Map<string, Entry[]>();
  for (const entry of entries) {
    const key = `${entry.cell}/${entry.variant}`;
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return [...groups.values()].flatMap((group) => group.slice(0, 1).map(({ cell, variant }) => ({ cell, variant, ...overRounds(group) })));
}

function overRounds(group: readonly Entry[]): Omit<Figures, 'cell' | 'variant'> {
  const over = (pick: (measured: Measured) => number) => spreadOf(group.map(({ measured }) => pick(measured)));
  const perJob = (pick: (measured: Measured) => number) => over((measured) => pick(measured) / measured.jobs);
  return {
    jobsPerSecond: over(({ jobsPerSecond }) => jobsPerSecond),
    turnMs: { p50: over(({ turnMs }) => turnMs.p50), p95: over(({ turnMs }) => turnMs.p95), p99: over(({ turnMs }) => turnMs.p99) },
    cpuPer1000: {
      client: perJob(({ cpuSeconds }) => 1_000 * cpuSeconds.client),
      server: perJob(({ cpuSeconds }) => 1_000 * cpuSeconds.server),
      postgres: perJob(({ cpuSeconds }) => 1_000 * cpuSeconds.postgres),
    },
    jobsPerServerCpuSecond: over(jobsPerServerCpuSecond),
    busiestClient: over(({ busiestClient }) => busiestClient),
    walBytesPerJob: perJob(({ walBytes }) => walBytes),
    jobsPerWrite: over(({ jobs, writes }) => jobs / writes),
  };
}

/** Of the reaches whose cells were measured. */
export function outcomesOf(entries: readonly Entry[]): readonly Outcome[] {
  return reaches.flatMap((reach) => {
    const ratio = ratios(entries, reach, (measured) => figureOf(reach, measured));
    if (ratio.length === 0) return [];
    const spread = spreadOf(ratio);
    const ratioByCpu = isCost(reach) ? null : spreadOf(ratios(entries, reach, jobsPerCpuSecond));
    return [{ ...reach, ratio: spread, ratioByCpu, verdict: verdictOf(reach, spread.median) }];
  });
}

function figureOf({ figure }: Reach, { jobsPerSecond, turnMs }: Measured): number {
  return figure === 'rate' ? jobsPerSecond : turnMs[figure];
}

export function verdictOf(reach: Pick<Outcome, 'figure' | 'wanted' | 'aim'>, ratio: number): Outcome['verdict'] {
  const reaches = (bound: number) => (isCost(reach) ? ratio <= bound : ratio >= bound);
  return reaches(reach.aim) ? 'aim reached' : reaches(reach.wanted) ? 'reached' : 'missed';
}

/** One for each round that has both sides. */
function ratios(entries: readonly Entry[], { cell, of, against }: Reach, pick: (measured: Measured) => number): readonly number[] {
  const inCell = entries.filter((entry) => entry.cell === cell);
  return inCell.flatMap(({ variant, round, measured }) => {
    if (variant !== of) return [];
    const other = inCell.find((candidate) => candidate.round === round && candidate.variant === against);
    return other === undefined ? [] : [pick(measured) / pick(other.measured)];
  });
}

/** Of service and Postgres; the raw pipeline, or a peer, stands in for its service. */
function jobsPerCpuSecond({ jobs, cpuSeconds: { client, server, postgres } }: Measured): number {
  return jobs / ((Number.isNaN(server) ? client : server) + postgres);
}

function jobsPerServerCpuSecond({ jobs, cpuSeconds }: Measured): number {
  return cpuSeconds.server > 0 ? jobs / cpuSeconds.server : Number.NaN;
}
