import { spreadOf } from '../statistics.ts';
import { trendOf } from '../../test/leaks/trend.ts';
import type { Sample } from './sample.ts';

const MINUTE_MS = 60_000;

/** Of one figure over the second half of the run, when everything is warm. */
export interface FigureTrend {
  readonly figure: string;
  readonly median: number;
  readonly max: number;
  /** Per minute, with the bounds of its 95 % confidence interval. */
  readonly slope: number;
  readonly low: number;
  readonly high: number;
  /** True where the interval lies above zero: then it is more than noise, and somebody must say what it is. */
  readonly rises: boolean;
}

export function trendsOf(samples: readonly Sample[]): FigureTrend[] {
  const half = (samples.at(-1)?.atMs ?? 0) / 2;
  const late = samples.filter(({ atMs }) => atMs >= half);
  return Object.keys(samples[0]?.figures ?? {}).map((figure) => {
    const points = late.map(({ atMs, figures }) => ({ x: atMs / MINUTE_MS, y: figures[figure] ?? Number.NaN }));
    const { median, max } = spreadOf(points.map(({ y }) => y));
    const trend = trendOf(points);
    return { figure, median, max, ...trend, rises: trend.low > 0 };
  });
}

/** For people. */
export function printTrends(trends: readonly FigureTrend[]): void {
  const rows = trends.map(({ figure, rises, ...numbers }) => [
    figure,
    { ...Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number(value.toFixed(3))])), rises: rises ? 'yes' : '' },
  ]);
  console.table(Object.fromEntries(rows));
}
