import { RefusalError } from '../../domain/error.ts';
import { isTerminal, type Job, type JobId } from '../../domain/job.ts';
import type { AwaitTerminal } from '../engine.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { EventLog } from '../ports/event-log.ts';
import { firstOf } from '../wait.ts';

/** With progress asked for, the state is told again after this: it shows that the wait is alive. */
const REPEAT_MS = 30_000;
/** Without, the job is read again after this, should every hint have been lost. */
const RECHECK_MS = 30_000;

export interface AwaitParts {
  readonly log: EventLog;
  readonly reads: GroupCommit<JobId, Job | null>;
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
    let first = true;
    while (!signal.aborted) {
      if (parts.draining.aborted) throw new RefusalError({ kind: 'shutting_down' });
      const job = await parts.reads.submit(query.jobId);
      if (job === null || job.namespace !== query.namespace) throw new RefusalError({ kind: 'job_not_found', jobId: query.jobId });
      const terminal = isTerminal(job.state) && job.life > query.afterLife;
      if (terminal || first || (query.includeProgress && job.lastSequence > told)) yield { job, terminal };
      if (terminal) return;
      first = false;
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
