/** A straight line through points, by least squares: what it rises by for each step of x, and where that surely lies. */
export interface Trend {
  readonly slope: number;
  /** Bounds of the 95 % confidence interval of the slope. Points that depend on one another make the true one wider. */
  readonly low: number;
  readonly high: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Three points at the least; NaN for fewer, or where all have one x. */
export function trendOf(points: readonly Point[]): Trend {
  const [x, y] = [mean(points.map((point) => point.x)), mean(points.map((point) => point.y))];
  const spread = sum(points.map((point) => (point.x - x) ** 2));
  const slope = sum(points.map((point) => (point.x - x) * (point.y - y))) / spread;
  const freedom = points.length - 2;
  if (freedom < 1) return { slope: Number.NaN, low: Number.NaN, high: Number.NaN };
  const residual = sum(points.map((point) => (point.y - y - slope * (point.x - x)) ** 2));
  const margin = student95(freedom) * Math.sqrt(residual / freedom / spread);
  return { slope, low: slope - margin, high: slope + margin };
}

/** Quantile 0.975 of Student's distribution: Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5), 4 % too small at 3 degrees. */
function student95(freedom: number): number {
  const z = 1.959964;
  return z + (z ** 3 + z) / (4 * freedom) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
