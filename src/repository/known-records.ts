import type { JobId } from '../domain/job.ts';
import type { JobRecord } from './job-record.ts';

/** Past these the oldest is forgotten, and read again: some ten megabytes. */
const MAX_REMEMBERED = 20_000;

/** What of a job never moves, and how many tries it was enqueued with: null where its queue says that. */
export interface KnownRecord {
  readonly record: Omit<JobRecord, 'priority' | 'maxAttempts'>;
  readonly maxAttempts: number | null;
}

/**
 * Records of jobs that this replica gave to workers, for who ends them. A record never changes and an id is of one job only, so whoever
 * remembers one need not read it; what moves stands with the token.
 */
export class KnownRecords {
  readonly #known = new Map<JobId, KnownRecord>();

  add(known: KnownRecord): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(known.record.jobId, known);
  }

  get(jobId: JobId): KnownRecord | null {
    return this.#known.get(jobId) ?? null;
  }

  /** Its job has ended. */
  forget(jobId: JobId): void {
    this.#known.delete(jobId);
  }
}
