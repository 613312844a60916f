import type { CommitObserver, Flush, FlushObservation } from '../../engine/ports/commit-observer.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import type { PlainHistogram, PlainHistograms, Series } from './plain-histograms.ts';

const ITEMS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Batches of the lanes of group commit, and claims. */
export class CommitMetrics implements CommitObserver {
  readonly #lanes = new Map<string, LaneMetrics>();
  readonly #items: PlainHistogram;
  readonly #waits: PlainHistogram;
  readonly #seconds: PlainHistogram;

  constructor(histograms: PlainHistograms) {
    this.#items = histograms.add({
      name: 'stint_batch_items',
      help: 'Items of a batch that was sent to the database, by lane; of the lane claim, the claims that it served.',
      labelNames: ['lane'],
      buckets: ITEMS,
    });
    this.#waits = histograms.add({
      name: 'stint_batch_wait_seconds',
      help: 'Time that an item waited for its batch to be sent, by lane; each try of an item counts.',
      labelNames: ['lane'],
      buckets: SECONDS,
    });
    this.#seconds = histograms.add({
      name: 'stint_batch_seconds',
      help: 'Time from the sending of a batch to its commit or failure, by lane and outcome.',
      labelNames: ['lane', 'outcome'],
      buckets: SECONDS,
    });
  }

  begin({ lane, items, waitsMs }: Flush): FlushObservation {
    const metrics = this.#of(lane);
    metrics.items.observe(items);
    for (const waitMs of waitsMs) metrics.waits.observe(waitMs / 1_000);
    const begunAt = performance.now();
    return {
      end: (error) => {
        const seconds = (performance.now() - begunAt) / 1_000;
        if (error === null) metrics.committed.observe(seconds);
        else this.#seconds.labels(lane, failureOf(error)).observe(seconds);
      },
    };
  }

  /** Labels are looked up once for each lane. */
  #of(lane: string): LaneMetrics {
    const found = this.#lanes.get(lane);
    if (found !== undefined) return found;
    const made = { items: this.#items.labels(lane), waits: this.#waits.labels(lane), committed: this.#seconds.labels(lane, 'committed') };
    this.#lanes.set(lane, made);
    return made;
  }
}

interface LaneMetrics {
  readonly items: Series;
  readonly waits: Series;
  readonly committed: Series;
}

/** What storage calls it: `conflict` and `contended` are tried again; everything else that is thrown is a defect. */
export function failureOf(error: unknown): string {
  return error instanceof StoreError ? error.kind : 'broken';
}
