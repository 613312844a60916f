import type { Result } from '../../domain/error.ts';
import type { JobId } from '../../domain/job.ts';
import type { AttemptPage, Repository } from '../ports/repository.ts';

export interface ListAttempts {
  readonly namespace: string;
  readonly jobId: JobId;
  readonly pageSize: number;
  /** The fence to go on after; 0 for the first page. */
  readonly after: bigint;
}

export async function listAttempts(repository: Pick<Repository, 'listAttempts'>, query: ListAttempts): Promise<Result<AttemptPage>> {
  const page = await repository.listAttempts(query);
  return page === null ? { ok: false, refusal: { kind: 'job_not_found', jobId: query.jobId } } : { ok: true, value: page };
}
