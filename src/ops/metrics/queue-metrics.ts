import { Gauge, type Registry } from 'prom-client';
import type { Backlog, Figures } from '../../engine/ports/figures.ts';

/** Figures older than this are not told any more: better none than wrong ones. */
const KEPT_MS = 60_000;

/** What stands for all queues that are not told by name. No queue is called so: names begin with a letter or a digit. */
const OTHERS = { namespace: '_other', queue: '_other' };

interface Kept {
  readonly figures: Figures;
  /** By the local monotonic clock. */
  readonly at: number;
}

/** How the queues are doing, as a background look saw it last: a scrape asks the database nothing. Every replica tells the same. */
export class QueueMetrics {
  #kept: Kept | null = null;

  constructor(registry: Registry) {
    const registers = [registry];
    const figures = () => this.#fresh()?.figures ?? null;
    const age = () => (this.#kept === null ? null : (performance.now() - this.#kept.at) / 1_000);
    const ofQueues = <Label extends string>(
      name: string,
      help: string,
      {
        labels,
        tell,
      }: { labels: Label[]; tell: (gauge: Gauge<Label | 'namespace' | 'queue'>, queue: typeof OTHERS, backlog: Backlog) => void },
    ) =>
      new Gauge<Label | 'namespace' | 'queue'>({
        ...{ name, help, registers },
        labelNames: ['namespace', 'queue', ...labels],
        collect() {
          this.reset();
          const told = figures();
          for (const { namespace, name: queue, ...backlog } of told?.queues ?? []) tell(this, { namespace, queue }, backlog);
          if (told !== null && told.others !== null) tell(this, OTHERS, told.others);
        },
      });
    ofQueues('stint_queue_jobs', 'Jobs that wait or are worked on, by queue and state; in flight are leased and running.', {
      labels: ['state'],
      tell: (gauge, queue, { jobs }) => {
        for (const [state, count] of Object.entries(statesOf(jobs))) gauge.set({ ...queue, state }, count);
      },
    });
    ofQueues('stint_queue_oldest_ready_seconds', 'How long the job that waits for longest could have been claimed, by queue.', {
      labels: [],
      tell: (gauge, queue, { oldestReadyMs }) => gauge.set(queue, (oldestReadyMs ?? 0) / 1_000),
    });
    ofQueues('stint_queue_dead_letters', 'Dead letters that are not replayed, by queue.', {
      labels: [],
      tell: (gauge, queue, { deadLetters }) => gauge.set(queue, deadLetters),
    });
    gaugeOrNothing(registry, {
      name: 'stint_oldest_snapshot_seconds',
      help: 'Age of the oldest transaction that keeps dead rows from being cleaned; 0 where there is none.',
      value: () => {
        const told = figures();
        return told === null ? null : (told.oldestSnapshotMs ?? 0) / 1_000;
      },
    });
    gaugeOrNothing(registry, {
      name: 'stint_queue_figures_age_seconds',
      help: 'Age of the figures of queues; they are looked at every 5 s, and not told past 60 s, which this still is.',
      value: age,
    });
  }

  tell(figures: Figures): void {
    this.#kept = { figures, at: performance.now() };
  }

  #fresh(): Kept | null {
    return this.#kept !== null && performance.now() - this.#kept.at <= KEPT_MS ? this.#kept : null;
  }
}

function statesOf(jobs: Backlog['jobs']): Record<string, number> {
  const { scheduled, blocked, ready, leased, running, retryWait, suspended } = jobs;
  return { scheduled, blocked, ready, leased, running, retry_wait: retryWait, suspended };
}

/** A gauge without labels, which is not told at all while it is null. */
function gaugeOrNothing(
  registry: Registry,
  { name, help, value }: { readonly name: string; readonly help: string; readonly value: () => number | null },
): void {
  const gauge = new Gauge({
    ...{ name, help, registers: [] },
    collect() {
      const told = value();
      if (told === null) this.remove();
      else this.set(told);
    },
  });
  registry.registerMetric(gauge);
}
