import type { JobId } from '../../domain/job.ts';
import { formatLeaseToken, type LeaseToken, parseLeaseToken } from '../../domain/lease.ts';
import type { Settled } from '../workers/words.ts';
import type { ClaimedJob } from '../ports/repository.ts';

/** A job in the hands of a session's worker. */
export interface HeldJob {
  readonly token: LeaseToken;
  readonly leaseToken: string;
  /** When the worker was given it or listed it last, in milliseconds of the local monotonic clock. */
  listedAt: number;
  /** It was told that the job is to be stopped. */
  isToldToCancel: boolean;
  /** A settlement of it is under way. */
  isSettling: boolean;
}

/** Is told which jobs are held, so that what happens to them finds who holds them. */
export interface HeldIndex {
  add(jobId: JobId): void;
  remove(jobId: JobId): void;
}

/** What the worker of a session holds, by job: the newest lease of each. */
export class HeldJobs {
  readonly #byJob = new Map<JobId, HeldJob>();
  readonly #index: HeldIndex;
  #isClosed = false;

  constructor(index: HeldIndex) {
    this.#index = index;
  }

  get size(): number {
    return this.#byJob.size;
  }

  all(): Iterable<HeldJob> {
    return this.#byJob.values();
  }

  /** Null for a job that is not held. */
  get(jobId: JobId): HeldJob | null {
    return this.#byJob.get(jobId) ?? null;
  }

  /** Null for a lease that is not held. */
  of(token: LeaseToken): HeldJob | null {
    const held = this.#byJob.get(token.jobId);
    return held !== undefined && held.token.fence === token.fence && held.token.secret === token.secret ? held : null;
  }

  add({ job, lease }: Pick<ClaimedJob, 'job' | 'lease'>): void {
    const token = parseLeaseToken(lease.leaseToken);
    if (token !== null) this.#put(job.jobId, newHeld(token, lease.leaseToken));
  }

  /** Of a lease that another stream or call gave, and that the worker lists here. Null where nothing comes of it: it is known, or older. */
  adopt(token: LeaseToken): HeldJob | null {
    const known = this.#byJob.get(token.jobId);
    if (this.#isClosed || (known !== undefined && known.token.fence >= token.fence)) return null;
    const held = newHeld(token, formatLeaseToken(token));
    this.#put(token.jobId, held);
    return held;
  }

  remove(token: LeaseToken): void {
    if (this.of(token) === null) return;
    this.#byJob.delete(token.jobId);
    this.#index.remove(token.jobId);
  }

  /** Nothing is held any more, and nothing will be. */
  close(): void {
    this.#isClosed = true;
    for (const jobId of this.#byJob.keys()) this.#index.remove(jobId);
    this.#byJob.clear();
  }

  #put(jobId: JobId, held: HeldJob): void {
    this.#byJob.set(jobId, held);
    this.#index.add(jobId);
  }
}

function newHeld(token: LeaseToken, leaseToken: string): HeldJob {
  return { token, leaseToken, listedAt: performance.now(), isToldToCancel: false, isSettling: false };
}

/** Whether its worker holds the job no more. A try that was not started goes on; so does one that was refused for a field, or for now. */
export function isOver(result: Settled): boolean {
  return result.kind !== 'refused' || isLost(result);
}

/** Whether its worker is told that it holds nothing. */
export function isLost(result: Settled): boolean {
  return result.kind === 'refused' ? result.refusal.kind === 'lease_lost' : result.job === null;
}
