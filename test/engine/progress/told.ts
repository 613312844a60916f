import { parseJobId, type JobId } from '../../../src/domain/job.ts';
import type { JobProgress } from '../../../src/domain/progress.ts';

export function jobId(n: number): JobId {
  const id = parseJobId(`01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`);
  if (id === null) throw new Error('not an id');
  return id;
}

/** Progress of the job of that number, told at that time. */
export function told(job: number, reportedAt = 1, partial: Partial<JobProgress> = {}): JobProgress {
  return {
    ...{ namespace: 'n', queue: 'q', jobId: jobId(job), fence: 1n, attempt: 1, workerId: 'w', reportedAt },
    progress: { fraction: null, message: `${job} at ${reportedAt}` },
    ...partial,
  };
}
