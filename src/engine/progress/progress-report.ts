/**
 * Progress on its way from a heartbeat to whoever follows: gathered for a moment, the newest of each job, then told here and to the other
 * replicas. Never part of the heartbeat's commit. What is lost on the way is made good by the next beat.
 */
import type { LeaseToken } from '../../domain/lease.ts';
import type { JobProgress, Progress, Told } from '../../domain/progress.ts';
import type { HeldAttempts } from '../ports/held-attempts.ts';
import { LatestByJob } from './latest-by-job.ts';

/** NOTIFY takes a lock at commit: at most one transaction of them in this time, whatever beats bring. */
const GATHER_MS = 50;
/** Jobs that wait to be told: those told longest ago are dropped. */
const PENDING_JOBS = 10_000;
/** Jobs of one look and one telling. */
const JOBS_AT_ONCE = 1_000;

/** Of a beat that renewed its lease. */
export interface ReportedProgress extends Told {
  readonly token: LeaseToken;
  readonly progress: Progress;
}

export interface ProgressReportParts {
  readonly repository: HeldAttempts;
  /** To those who follow on this replica. */
  readonly here: (told: readonly JobProgress[]) => void;
  /** To the other replicas. */
  readonly elsewhere: (told: readonly JobProgress[]) => Promise<void>;
  readonly onFailure: (what: string, error: unknown) => void;
}

export class ProgressReport {
  readonly #parts: ProgressReportParts;
  readonly #pending = new LatestByJob<ReportedProgress>(PENDING_JOBS);
  #timer: NodeJS.Timeout | null = null;
  #telling: Promise<void> | null = null;
  #stopped = false;

  constructor(parts: ProgressReportParts) {
    this.#parts = parts;
  }

  get pendingJobs(): number {
    return this.#pending.size;
  }

  add(reported: ReportedProgress): void {
    this.#pending.put(reported);
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#telling;
  }

  #schedule(): void {
    if (this.#stopped || this.#timer !== null || this.#telling !== null || this.#pending.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#telling = this.#tell()
        .catch((error: unknown) => this.#parts.onFailure('tell progress', error))
        .finally(() => {
          this.#telling = null;
          this.#schedule();
        });
    }, GATHER_MS);
  }

  async #tell(): Promise<void> {
    const taken = this.#pending.take(JOBS_AT_ONCE);
    const attempts = await this.#parts.repository.heldAttempts(taken.map(({ token }) => token));
    const told = taken.flatMap(({ jobId, fence, reportedAt, progress }, index): JobProgress[] => {
      const held = attempts[index];
      return held === null || held === undefined ? [] : [{ jobId, fence, reportedAt, progress, ...held }];
    });
    if (told.length === 0) return;
    this.#parts.here(told);
    await this.#parts.elsewhere(told);
  }
}
