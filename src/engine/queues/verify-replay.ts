import type { Result } from '../../domain/error.ts';
import type { JobId } from '../../domain/job.ts';
import { type ReplayDifference, replayDifferences } from '../../domain/replay.ts';
import type { Verification } from '../ports/verification.ts';
import type { QueueDirectory } from '../queue-directory.ts';
import { findQueue } from './get-queue.ts';

/** Jobs that are read at once … */
const JOBS_AT_ONCE = 50;
/** … with so many events each. One with more is read by itself. */
const EVENTS_AT_ONCE = 100;
/** Of one job; one with more is passed over. */
const EVENTS_PER_JOB = 10_000;
/** A page ends once it has read so many … */
const EVENTS_PER_PAGE = 10_000;
/** … or has so many to tell: each takes some 600 bytes at most, and all together stay below what a response may be. */
const DIFFERENCES_PER_PAGE = 4_000;

export type VerifyReplay = { readonly namespace: string } & (
  | { readonly kind: 'job'; readonly jobId: JobId }
  | { readonly kind: 'queue'; readonly queue: string; readonly pageSize: number; readonly after: JobId | null }
);

export interface VerifiedPage {
  readonly jobsVerified: number;
  readonly differences: readonly ReplayDifference[];
  /** Those with more events than are folded. */
  readonly passedOver: readonly JobId[];
  /** The last job looked at, where there may be more. */
  readonly nextAfter: JobId | null;
}

export interface VerifyReplayParts {
  readonly directory: QueueDirectory;
  readonly repository: Verification;
}

export async function verifyReplay({ directory, repository }: VerifyReplayParts, query: VerifyReplay): Promise<Result<VerifiedPage>> {
  if (query.kind === 'job') return verifyJob(repository, query);
  return directory.inCurrentHistory(async () => {
    const found = await findQueue(directory, query);
    if (!found.ok) return found;
    const { ids, nextAfter } = await repository.retainedJobs(found.value, query.pageSize, query.after);
    const page = new Page(repository);
    const readAll = await page.verify(ids);
    return { ok: true, value: page.end(readAll ? nextAfter : page.last) };
  });
}

async function verifyJob(
  repository: Verification,
  { namespace, jobId }: Extract<VerifyReplay, { kind: 'job' }>,
): Promise<Result<VerifiedPage>> {
  const [found = null] = await repository.replayedJobs([jobId], 1);
  if (found?.namespace !== namespace) return { ok: false, refusal: { kind: 'job_not_found', jobId } };
  const page = new Page(repository);
  await page.verify([jobId]);
  return { ok: true, value: page.end(null) };
}

/** What one call finds. */
class Page {
  readonly #repository: Verification;
  readonly #differences: ReplayDifference[] = [];
  readonly #passedOver: JobId[] = [];
  #jobsVerified = 0;
  #eventsRead = 0;
  /** The last job looked at. */
  last: JobId | null = null;

  constructor(repository: Verification) {
    this.#repository = repository;
  }

  /** False where it ended before the last of them; at least one was looked at. */
  async verify(ids: readonly JobId[]): Promise<boolean> {
    for (let index = 0; index < ids.length; index += JOBS_AT_ONCE) {
      const some = ids.slice(index, index + JOBS_AT_ONCE);
      const jobs = await this.#repository.replayedJobs(some, EVENTS_AT_ONCE);
      for (const [place, job] of jobs.entries()) {
        if (this.#isFull()) return false;
        this.last = some[place] ?? this.last;
        // Pruned meanwhile.
        if (job === null) continue;
        this.#verifyOne(job.events.length < EVENTS_AT_ONCE ? job : await this.#whole(job.jobId));
      }
    }
    return true;
  }

  end(nextAfter: JobId | null): VerifiedPage {
    return { jobsVerified: this.#jobsVerified, differences: this.#differences, passedOver: this.#passedOver, nextAfter };
  }

  #isFull(): boolean {
    return this.#eventsRead >= EVENTS_PER_PAGE || this.#differences.length >= DIFFERENCES_PER_PAGE;
  }

  async #whole(jobId: JobId) {
    const [whole = null] = await this.#repository.replayedJobs([jobId], EVENTS_PER_JOB + 1);
    return whole;
  }

  #verifyOne(job: Awaited<ReturnType<Verification['replayedJobs']>>[number]): void {
    if (job === null) return;
    this.#eventsRead += job.events.length;
    if (job.events.length > EVENTS_PER_JOB) {
      this.#passedOver.push(job.jobId);
      return;
    }
    this.#jobsVerified += 1;
    this.#differences.push(...replayDifferences(job));
  }
}
