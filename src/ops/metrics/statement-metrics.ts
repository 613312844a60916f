import { Counter, type Registry } from 'prom-client';
import type { SentStatement, StatementObserver } from '../../engine/ports/statement-observer.ts';
import { failureOf } from './commit-metrics.ts';
import type { PlainHistogram, PlainHistograms, Series } from './plain-histograms.ts';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Statements by name, as long as the database and the way to it take; the wait for a connection is not in it. */
export class StatementMetrics implements StatementObserver {
  /** As many as there are statements. */
  readonly #named = new Map<string, Series>();
  readonly #seconds: PlainHistogram;
  readonly #failures: Counter<'statement' | 'kind'>;

  constructor(registry: Registry, histograms: PlainHistograms) {
    this.#seconds = histograms.add({
      name: 'stint_statement_seconds',
      help: 'Time from the sending of a statement to its answer or failure, by its name.',
      labelNames: ['statement'],
      buckets: SECONDS,
    });
    this.#failures = new Counter({
      name: 'stint_statement_failures_total',
      help: 'Statements that failed, by name and kind; conflict and contended are tried again.',
      labelNames: ['statement', 'kind'],
      registers: [registry],
    });
  }

  begin({ name }: SentStatement): (error: unknown) => void {
    const seconds = this.#of(name);
    const begunAt = performance.now();
    return (error) => {
      seconds.observe((performance.now() - begunAt) / 1_000);
      if (error !== null) this.#failures.inc({ statement: name, kind: failureOf(error) });
    };
  }

  #of(name: string): Series {
    const found = this.#named.get(name) ?? this.#seconds.labels(name);
    this.#named.set(name, found);
    return found;
  }
}
