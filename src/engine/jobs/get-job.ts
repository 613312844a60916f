import type { Result } from '../../domain/error.ts';
import type { Job, JobId } from '../../domain/job.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { Repository } from '../ports/repository.ts';

export interface GetJobParts {
  readonly reads: GroupCommit<JobId, Job | null>;
  readonly repository: Pick<Repository, 'getPayload'>;
}

export async function getJob(
  { reads, repository }: GetJobParts,
  { namespace, jobId, withPayload }: { readonly namespace: string; readonly jobId: JobId; readonly withPayload: boolean },
): Promise<Result<{ readonly job: Job; readonly payload: Uint8Array | null }>> {
  const job = await reads.submit(jobId);
  // A job of another namespace is not told from one that is not there.
  if (job === null || job.namespace !== namespace) return { ok: false, refusal: { kind: 'job_not_found', jobId } };
  return { ok: true, value: { job, payload: withPayload ? await repository.getPayload(jobId) : null } };
}
