import { RefusalError } from '../../domain/error.ts';
import { isTerminal, type Job, type JobId } from '../../domain/job.ts';
import type { AwaitTerminal } from '../engine.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { EventLog } from '../ports/event-log.ts';
import type { Repository } from '../ports/repository.ts';
import { firstOf } from '../wait.ts';

/** With progress asked for, the state is told again after this: it shows that the wait is alive. */
const REPEAT_MS = 30_000;
/** Without, the job is read again after this, should every hint have been lost. */
const RECHECK_MS = 30_000;

export interface AwaitParts {
  readonly log: EventLog;
  readonly reads: GroupCommit<JobId, Job | null>;
  readonly repository: Pick<Repository, 'endOfLife'>;
  /** Aborts when the service drains. */
  readonly draining: AbortSignal;
}

/** The state at once, then changes if asked for, last the end of the awaited life. The read is the truth, events only hint. */
export async function* awaitTerminal(
  parts: AwaitParts,
  query: AwaitTerminal,
  signal: AbortSignal,
): AsyncGenerator<{ readonly job: Job; readonly terminal: boolean }> {
  // Watched before it is read: what is committed after the read is told.
  const watch = await parts.log.watch(query.jobId);
  using ended = firstOf([signal, parts.draining]);
  try {
    let told = 0;
    let awaitedLife: number | null = null;
    while (!signal.aborted) {
      if (parts.draining.aborted) throw new RefusalError({ kind: 'shutting_down' });
      const job = await readJob(parts, query);
      const first = awaitedLife === null;
      // The life that is current at the first look, unless the caller has seen the end of that one.
      awaitedLife ??= Math.max(job.life, query.afterLife + 1);
      const end = await endOf(parts, job, awaitedLife);
      if (end !== null) {
        yield { job: end, terminal: true };
        return;
      }
      if (first || (query.includeProgress && job.lastSequence > told)) yield { job, terminal: false };
      told = job.lastSequence;
      using wait = firstOf([ended.signal], query.includeProgress ? REPEAT_MS : RECHECK_MS);
      await watch.changed(wait.signal);
      // Nothing changed for so long: told again.
      if (wait.signal.aborted && query.includeProgress) told = 0;
    }
  } finally {
    watch.close();
  }
}

async function readJob({ reads }: AwaitParts, { jobId, namespace }: AwaitTerminal): Promise<Job> {
  const job = await reads.submit(jobId);
  if (job === null || job.namespace !== namespace) throw new RefusalError({ kind: 'job_not_found', jobId });
  return job;
}

/** A retry may have begun another life since the awaited one ended: then its end is read by its number. */
async function endOf({ repository }: AwaitParts, job: Job, life: number): Promise<Job | null> {
  if (job.life === life) return isTerminal(job.state) ? job : null;
  return job.life > life ? await repository.endOfLife(job.jobId, life) : null;
}
