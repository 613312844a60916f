import { Counter, type Registry } from 'prom-client';
import { type CountedEvent, type JobObserver, LEASE_ENDINGS, type LeaseEnding } from '../../engine/ports/job-observer.ts';

/** All are served from the start, with 0: an alarm on a rate must not miss the first. */
const EVENTS = {
  enqueued: true,
  claimed: true,
  started: true,
  released: true,
  retry_scheduled: true,
  suspended: true,
  resumed: true,
  cancel_requested: true,
  abandon_requested: true,
  succeeded: true,
  failed: true,
  cancelled: true,
  abandoned: true,
  retried: true,
  updated: true,
  custom: true,
} as const satisfies Record<CountedEvent, true>;

/** What this replica did to jobs: the sum over replicas is what was done. */
export class JobMetrics implements JobObserver {
  readonly #events: Counter<'event'>;
  readonly #leasesEnded: Counter<'how'>;
  readonly #retries: Counter;
  readonly #deadLetters: Counter;
  readonly #pruned: Counter;

  constructor(registry: Registry) {
    const counter = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
      new Counter({ name, help, labelNames, registers: [registry] });
    this.#events = counter('stint_job_events_total', 'Job events that this replica committed, by type; ready is not counted.', ['event']);
    this.#leasesEnded = counter('stint_leases_ended_total', 'Leases that this replica ended because nobody else did, by cause.', ['how']);
    this.#retries = counter('stint_job_retries_total', 'Attempts that failed and are followed by another one.');
    this.#deadLetters = counter('stint_dead_letters_total', 'Jobs that failed for good and left a dead letter.');
    this.#pruned = counter('stint_jobs_pruned_total', 'Jobs that were removed because their retention was over.');
    for (const event of Object.keys(EVENTS)) this.#events.inc({ event }, 0);
    for (const how of LEASE_ENDINGS) this.#leasesEnded.inc({ how }, 0);
  }

  onEvents(event: CountedEvent, count: number): void {
    this.#events.inc({ event }, count);
    if (event === 'retry_scheduled') this.#retries.inc(count);
  }

  onLeasesEnded(how: LeaseEnding, count: number): void {
    this.#leasesEnded.inc({ how }, count);
  }

  onDeadLetters(count: number): void {
    this.#deadLetters.inc(count);
  }

  onPruned(count: number): void {
    this.#pruned.inc(count);
  }
}
