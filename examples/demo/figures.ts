import type { Timestamp } from '../../gen/google/protobuf/timestamp.ts';
import type { Event } from '../../gen/stint/v1/event.ts';
import { isTerminal, type Ledger } from './ledger.ts';

export interface Figures {
  /** Of the jobs that needed one attempt, from the first enqueue to the last of their ends. */
  readonly jobsPerSecond: number;
  /** Of all jobs: the last ones waited until the leases of the killed worker had expired. */
  readonly jobsPerSecondToTheLast: number;
  readonly enqueueToStartMs: { readonly p50: number; readonly p99: number };
  readonly retries: number;
  readonly retriedJobs: number;
}

/** All times are the database's own, as the events tell them. */
export function figuresOf(ledger: Ledger, jobIds: readonly string[]): Figures {
  const jobs = jobIds.map((jobId) => courseOf(ledger.eventsOf(jobId)));
  const firstEnqueue = quantile(
    jobs.map(({ enqueuedMs }) => enqueuedMs),
    0,
  );
  const rate = (some: readonly Course[]) => {
    const lastEnd = quantile(
      some.map(({ endedMs }) => endedMs),
      1,
    );
    return some.length / ((lastEnd - firstEnqueue) / 1000);
  };
  const waits = jobs.map(({ enqueuedMs, startedMs }) => startedMs - enqueuedMs);
  const atOnce = jobs.filter(({ retried }) => !retried);
  return {
    jobsPerSecond: rate(atOnce),
    jobsPerSecondToTheLast: rate(jobs),
    enqueueToStartMs: { p50: quantile(waits, 0.5), p99: quantile(waits, 0.99) },
    retries: ledger.retries,
    retriedJobs: jobs.length - atOnce.length,
  };
}

interface Course {
  readonly enqueuedMs: number;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly retried: boolean;
}

function courseOf(events: readonly Event[]): Course {
  const at = (matches: (event: Event) => boolean) => timeMs(events.find(matches)?.occurredAt);
  return {
    enqueuedMs: at(({ type }) => type === 'enqueued'),
    startedMs: at(({ type }) => type === 'started'),
    endedMs: at(isTerminal),
    retried: events.some(({ type }) => type === 'retry_scheduled'),
  };
}

/** NaN for a time that nothing tells. */
function timeMs(at: Timestamp | undefined): number {
  return at === undefined ? Number.NaN : Number(at.seconds) * 1000 + at.nanos / 1e6;
}

/** Nearest rank of what is known; 0 is the smallest, 1 the largest, NaN where there is nothing. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
