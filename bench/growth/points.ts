import { type Outcome, verdictOf } from '../figures.ts';
import type { Measured } from '../measure.ts';
import { type Spread, spreadOf } from '../statistics.ts';
import { BACKLOGS, claimRow, CLAIMS, type FigureName, series, type SeriesName, type Spot } from './series.ts';

export type SpotFigures = Readonly<Partial<Record<FigureName, number>>>;

/** A measurement of a spot. */
export interface GrowthEntry extends Spot {
  readonly series: SeriesName;
  readonly round: number;
  readonly figures: SpotFigures;
}

/** Of one spot, over all rounds. */
export interface GrowthPoint extends Spot {
  readonly series: SeriesName;
  readonly figures: Readonly<Partial<Record<FigureName, Spread>>>;
}

/** Of a load whose jobs have so many bytes of payload, where that is what grows. */
export function figuresOfLoad(measured: Measured, payloadBytes: number | undefined): SpotFigures {
  const { jobs, jobsPerSecond, turnMs, cpuSeconds, walBytes } = measured;
  const per1000 = (seconds: number) => (1_000 * seconds) / jobs;
  return {
    jobsPerSecond,
    ...(payloadBytes === undefined ? {} : { megabytesPerSecond: (jobsPerSecond * payloadBytes) / 1e6 }),
    p50Ms: turnMs.p50,
    p99Ms: turnMs.p99,
    clientCpu: per1000(cpuSeconds.client),
    serviceCpu: per1000(cpuSeconds.server),
    postgresCpu: per1000(cpuSeconds.postgres),
    cpu: per1000(cpuSeconds.server + cpuSeconds.postgres),
    walBytesPerJob: walBytes / jobs,
  };
}

/** In the order in which spots were first met, but each row of a series together and by what grows. */
export function pointsOf(entries: readonly GrowthEntry[]): readonly GrowthPoint[] {
  const rows = [...new Set(entries.map(({ series, row }) => `${series}/${row}`))];
  return rows.flatMap((key) => {
    const own = entries.filter(({ series, row }) => `${series}/${row}` === key);
    const ats = [...new Set(own.map(({ at }) => at))].toSorted((a, b) => a - b);
    return ats.flatMap((at) => pointOf(own.filter((entry) => entry.at === at)));
  });
}

const NAMES: readonly FigureName[] = [...new Set(Object.values(series).flatMap(({ figures }) => figures))];

function pointOf(entries: readonly GrowthEntry[]): readonly GrowthPoint[] {
  return entries.slice(0, 1).map(({ series, row, at }) => {
    const figures = NAMES.flatMap((name) => {
      const values = entries.flatMap(({ figures }) => figures[name] ?? []);
      return values.length === 0 ? [] : [[name, spreadOf(values)] as const];
    });
    return { series, row, at, figures: Object.fromEntries(figures) };
  });
}

/** What growth is held against: a figure of the larger spot to that of the smaller one, of the same row and round. */
interface GrowthReach extends Pick<Outcome, 'figure' | 'wanted' | 'aim'> {
  readonly series: SeriesName;
  readonly row: string;
  readonly large: number;
  readonly small: number;
  readonly of: FigureName;
}

const replicas = { series: 'replicas', large: 4, small: 1, figure: 'rate', of: 'jobsPerSecond', wanted: 0.7, aim: 1 } as const;
const backlog = { series: 'backlog', large: Math.max(...BACKLOGS), small: Math.min(...BACKLOGS) } as const;

const growthReaches: readonly GrowthReach[] = [
  ...['lifecycle-batch', 'enqueue-64', 'claim-ack-64'].map((row) => ({ ...replicas, row })),
  ...CLAIMS.flatMap((jobs) => [
    { ...backlog, row: claimRow(jobs), figure: 'p50' as const, of: 'p50Ms' as const, wanted: 1.3, aim: 1.05 },
    // The same, that is: but for a twentieth.
    { ...backlog, row: claimRow(jobs), figure: 'buffers' as const, of: 'buffers' as const, wanted: 1.05, aim: 1 },
  ]),
];

/** Of the reaches of which both spots were measured. */
export function growthOutcomes(entries: readonly GrowthEntry[]): readonly Outcome[] {
  return growthReaches.flatMap((reach) => {
    const { series, row, large, small, of, figure, wanted, aim } = reach;
    const ratio = ratios(entries, reach, of);
    if (ratio.length === 0) return [];
    const spread = spreadOf(ratio);
    // Jobs for each CPU second: the other way round.
    const byCpu = ratios(entries, reach, 'cpu').map((value) => 1 / value);
    return [
      {
        ...{ cell: `${series} ${row}`, of: large.toLocaleString('en'), against: small.toLocaleString('en'), figure, wanted, aim },
        ratio: spread,
        ratioByCpu: figure === 'rate' ? spreadOf(byCpu) : null,
        verdict: verdictOf({ figure, wanted, aim }, spread.median),
      },
    ];
  });
}

/** One for each round that has both sides. */
function ratios(entries: readonly GrowthEntry[], { series, row, large, small }: GrowthReach, of: FigureName): readonly number[] {
  const own = entries.filter((entry) => entry.series === series && entry.row === row);
  return own.flatMap(({ at, round, figures }) => {
    const other = own.find((candidate) => candidate.round === round && candidate.at === small);
    const [dividend, divisor] = [figures[of], other?.figures[of]];
    return at !== large || dividend === undefined || divisor === undefined ? [] : [dividend / divisor];
  });
}
