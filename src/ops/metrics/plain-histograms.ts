import { AggregatorRegistry, type Registry } from 'prom-client';

export interface HistogramShape {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** Upper bounds, inclusive, rising; what is above the last one is counted too. */
  readonly buckets: readonly number[];
}

/** What is observed under one set of labels. */
export interface Series {
  observe(value: number): void;
}

/**
 * Histograms that count in plain numbers, and hand them to the library when somebody asks: its own make a key of their labels at each observation,
 * also where these are bound, and have no way in for what is counted already but the one for the figures of other processes.
 */
export class PlainHistograms {
  readonly #histograms: PlainHistogram[] = [];

  add(shape: HistogramShape): PlainHistogram {
    const histogram = new PlainHistogram(shape);
    this.#histograms.push(histogram);
    return histogram;
  }

  /** As they are now. */
  registry(): Registry {
    return AggregatorRegistry.aggregate([this.#histograms.map((histogram) => histogram.toJSON())]);
  }
}

export class PlainHistogram {
  readonly #shape: HistogramShape;
  readonly #series = new Map<string, Counts>();

  constructor(shape: HistogramShape) {
    this.#shape = shape;
  }

  /** A value for each label, in the order of their names. To be kept where it is asked for often. */
  labels(...values: readonly string[]): Series {
    const key = JSON.stringify(values);
    const found = this.#series.get(key);
    if (found !== undefined) return found;
    const labels = Object.fromEntries(this.#shape.labelNames.map((name, index) => [name, values[index] ?? '']));
    const made = new Counts(labels, this.#shape.buckets);
    this.#series.set(key, made);
    return made;
  }

  /** In the shape of the library's `getMetricsAsJSON`. */
  toJSON(): object {
    const { name, help } = this.#shape;
    return {
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...this.#series.values()].flatMap((counts) => counts.values(name)),
    };
  }
}

class Counts implements Series {
  readonly #labels: Readonly<Record<string, string>>;
  readonly #bounds: readonly number[];
  /** Of each bucket alone; the last is of what is above all bounds. */
  readonly #counts: number[];
  #sum = 0;

  constructor(labels: Readonly<Record<string, string>>, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (value > (this.#bounds[bucket] ?? Infinity)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  /** Each bucket tells what the ones below it tell too. */
  values(name: string): readonly object[] {
    const labels = this.#labels;
    let count = 0;
    const buckets = this.#counts.map((inBucket, index) => {
      count += inBucket;
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[index] ?? '+Inf', ...labels }, value: count };
    });
    return [...buckets, { metricName: `${name}_sum`, labels, value: this.#sum }, { metricName: `${name}_count`, labels, value: count }];
  }
}
