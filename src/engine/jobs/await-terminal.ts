import { RefusalError } from '../../domain/error.ts';
import { isTerminal, type Job, type JobId } from '../../domain/job.ts';
import type { JobProgress } from '../../domain/progress.ts';
import { endingOf } from '../ending.ts';
import type { ProgressBoard } from '../progress/progress-board.ts';
import { progressUntilChanged } from '../progress/until-changed.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { EventLog } from '../ports/event-log.ts';
import type { Repository } from '../ports/repository.ts';
import { firstOf, recheckMs, SIGN_OF_LIFE_MS, untilGrid } from '../wait.ts';

export interface AwaitParts {
  readonly log: EventLog;
  readonly board: ProgressBoard;
  readonly reads: GroupCommit<JobId, Job | null>;
  readonly repository: Pick<Repository, 'endOfLife'>;
  /** Aborts when the stream is to end in order. */
  readonly draining: AbortSignal;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface AwaitTerminal {
  readonly namespace: string;
  readonly jobId: JobId;
  readonly includeProgress: boolean;
  /** Waits for the end of a later life than this; 0 for the current one. */
  readonly afterLife: number;
}

export interface Awaited {
  readonly job: Job;
  readonly terminal: boolean;
  /** With it `job` is as it was told last. */
  readonly progress: JobProgress | null;
}

/** The state at once, then changes if asked for, last the end of the awaited life. The read is the truth, events only hint. */
export async function* awaitTerminal(parts: AwaitParts, query: AwaitTerminal, signal: AbortSignal): AsyncGenerator<Awaited> {
  // Watched before it is read: what is committed after the read is told.
  const watch = await parts.log.watch(query.jobId, query.includeProgress ? 'changes' : 'ends');
  const following = query.includeProgress ? parts.board.follow({ kind: 'job', jobId: query.jobId }) : null;
  using ended = firstOf([signal, parts.draining]);
  try {
    let told = 0;
    let awaitedLife: number | null = null;
    while (!signal.aborted) {
      if (parts.draining.aborted) throw new RefusalError({ kind: endingOf(parts.draining) });
      const job = await readJob(parts, query);
      const first = awaitedLife === null;
      // The life that is current at the first look, unless the caller has seen the end of that one.
      awaitedLife ??= Math.max(job.life, query.afterLife + 1);
      const end = await endOf(parts, job, awaitedLife);
      if (end !== null) {
        yield { job: end, terminal: true, progress: null };
        return;
      }
      if (first || (query.includeProgress && job.lastSequence > told)) yield { job, terminal: false, progress: null };
      told = job.lastSequence;
      using wait = firstOf([ended.signal], untilGrid(query.includeProgress ? SIGN_OF_LIFE_MS : recheckMs(parts)));
      for await (const news of progressUntilChanged(watch, following, wait.signal)) {
        for (const progress of news) yield { job, terminal: false, progress };
      }
      // Nothing changed for so long: told again.
      if (wait.signal.aborted && query.includeProgress) told = 0;
    }
  } finally {
    following?.close();
    watch.close();
  }
}

async function readJob(parts: AwaitParts, { jobId, namespace }: AwaitTerminal): Promise<Job> {
  return orNotFound(await parts.reads.submit(jobId), namespace, jobId);
}

/** Positional. Throws `job_not_found` of the first that the namespace does not have. */
export async function readJobs({ reads }: AwaitParts, namespace: string, jobIds: readonly JobId[]): Promise<readonly Job[]> {
  const jobs = await reads.submitMany(jobIds);
  return jobIds.map((jobId, index) => orNotFound(jobs[index] ?? null, namespace, jobId));
}

function orNotFound(job: Job | null, namespace: string, jobId: JobId): Job {
  if (job === null || job.namespace !== namespace) throw new RefusalError({ kind: 'job_not_found', jobId });
  return job;
}

/** The end of that life; null while it lasts. A retry may have begun another since: then its end is read by its number. */
export async function endOf({ repository }: AwaitParts, job: Job, life: number): Promise<Job | null> {
  if (job.life === life) return isTerminal(job.state) ? job : null;
  return job.life > life ? await repository.endOfLife(job.jobId, life) : null;
}
