/** All that the service tells of itself, in the text that Prometheus reads. What each number means stands in docs/operations.md. */
import { performance } from 'node:perf_hooks';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { FeedState } from '../../engine/ports/event-log.ts';
import type { PoolState } from '../../engine/ports/statement-observer.ts';
import { CommitMetrics } from './commit-metrics.ts';
import { JobMetrics } from './job-metrics.ts';
import { PlainHistograms, type Series } from './plain-histograms.ts';
import { QueueMetrics } from './queue-metrics.ts';
import { RpcMetrics } from './rpc-metrics.ts';
import { StatementMetrics } from './statement-metrics.ts';

/** What a running service is asked at each scrape; all of it is at hand. */
export interface ServiceState {
  readonly isReady: boolean;
  /** Since the database last answered upkeep. */
  readonly answeredAgoMs: number;
  readonly pools: readonly PoolState[];
  readonly feed: FeedState;
  /** Claims and `Work` streams that wait for jobs or work on them. */
  readonly engine: { readonly parkedClaims: number; readonly sessions: number };
}

/** What the library serves besides: a walk over all sockets at each scrape, and spaces of the heap, which nobody sets. */
const LEFT_OUT = [
  ...['nodejs_active_handles', 'nodejs_active_requests', 'nodejs_active_resources'].flatMap((name) => [name, `${name}_total`]),
  ...['size_total', 'size_used', 'size_available'].map((what) => `nodejs_heap_space_${what}_bytes`),
];

export class Metrics {
  readonly #registry = new Registry();
  readonly #histograms = new PlainHistograms();
  readonly calls = new RpcMetrics(this.#registry, this.#histograms);
  readonly commits = new CommitMetrics(this.#histograms);
  readonly statements = new StatementMetrics(this.#registry, this.#histograms);
  readonly jobs = new JobMetrics(this.#registry);
  readonly queues = new QueueMetrics(this.#registry);
  readonly #failures: Counter<'task'>;
  readonly #feedDelay: Series;
  /** Null until the service runs. */
  #state: (() => ServiceState) | null = null;

  constructor({ version, nodeVersion }: { readonly version: string; readonly nodeVersion: string }) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    for (const name of LEFT_OUT) this.#registry.removeSingleMetric(name);
    this.#failures = new Counter({
      name: 'stint_background_failures_total',
      help: 'Background work that failed and is tried again, by task.',
      labelNames: ['task'],
      registers,
    });
    const feedDelay = this.#histograms.add({
      name: 'stint_feed_delay_seconds',
      help: 'Time from the commit of an event to its telling on this replica, for the newest event of each look at the log.',
      labelNames: [],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    });
    this.#feedDelay = feedDelay.labels();
    new Gauge({
      name: 'stint_build_info',
      help: 'Always 1; its labels tell the versions.',
      labelNames: ['version', 'node'],
      registers,
    }).set({ version, node: nodeVersion }, 1);
    this.#gauge('stint_ready', '1 while requests should come here, as /readyz says; else 0.', ({ isReady }) => Number(isReady));
    this.#gauge(
      'stint_database_answer_age_seconds',
      'Time since the database last answered upkeep.',
      (state) => state.answeredAgoMs / 1_000,
    );
    this.#gauge('stint_claims_parked', 'Claims that wait for work on this replica.', ({ engine }) => engine.parkedClaims);
    this.#gauge('stint_work_sessions', 'Open Work streams of this replica.', ({ engine }) => engine.sessions);
    this.#gauge('stint_watched_jobs', 'Jobs that somebody waits for or follows on this replica.', ({ feed }) => feed.watchedJobs);
    this.#gauge('stint_subscribers', 'Followers of the log of events on this replica.', ({ feed }) => feed.followers);
    this.#gauge(
      'stint_feed_lag_seconds',
      'Whatever was committed longer ago was told to whoever follows here; 0 while nobody does.',
      ({ feed }) => feed.lagMs / 1_000,
    );
    this.#poolGauges();
    eventLoopAtWork(this.#registry);
  }

  /** From here on the figures of a service are told. */
  watch(state: () => ServiceState): void {
    this.#state = state;
  }

  onBackgroundFailure(task: string): void {
    this.#failures.inc({ task });
  }

  onFeedDelay(milliseconds: number): void {
    // The database's clock is estimated: what was just committed may seem to come from the future.
    this.#feedDelay.observe(Math.max(0, milliseconds) / 1_000);
  }

  /** Waits for nothing but the numbers at hand. */
  async expose(): Promise<{ readonly contentType: string; readonly text: string }> {
    return {
      contentType: this.#registry.contentType,
      text: `${await this.#registry.metrics()}\n${await this.#histograms.registry().metrics()}`,
    };
  }

  #gauge(name: string, help: string, value: (state: ServiceState) => number): void {
    const stateOf = () => this.#state?.() ?? null;
    const gauge = new Gauge({
      ...{ name, help, registers: [] },
      collect() {
        const state = stateOf();
        if (state === null) this.remove();
        else this.set(value(state));
      },
    });
    this.#registry.registerMetric(gauge);
  }

  #poolGauges(): void {
    const pools = () => this.#state?.().pools ?? [];
    const gauge = (name: string, help: string, value: (pool: PoolState) => number) =>
      new Gauge({
        ...{ name, help, labelNames: ['pool'], registers: [this.#registry] },
        collect() {
          for (const pool of pools()) this.set({ pool: pool.name }, value(pool));
        },
      });
    gauge('stint_pool_connections_max', 'Connections that a pool may have, by pool.', ({ connections }) => connections);
    gauge('stint_pool_connections_open', 'Connections that a pool has open, by pool.', ({ open }) => open);
    gauge('stint_pool_connections_in_use', 'Connections that are at work, by pool.', ({ inUse }) => inUse);
    gauge('stint_pool_waiting', 'Statements and transactions that wait for a connection, by pool.', ({ waiting }) => waiting);
  }
}

/** Its rate is the share of the time in which the event loop was at work. */
function eventLoopAtWork(registry: Registry): void {
  const counter = new Counter({
    name: 'stint_event_loop_active_seconds_total',
    help: 'Time that the event loop was at work; its rate is a share, 0 to 1.',
    registers: [],
    collect() {
      this.reset();
      this.inc(performance.eventLoopUtilization().active / 1_000);
    },
  });
  registry.registerMetric(counter);
}
