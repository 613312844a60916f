import type { Engine } from '../../engine/engine.ts';
import { type JobServiceService, RetryJobsRequest } from '../../../gen/stint/v1/job_service.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import { formatPageToken } from '../page-token.ts';
import type { MethodHandler } from '../service.ts';
import { refusalStatus } from '../status.ts';
import { readBulk } from './bulk.ts';
import { jobTokenFilter } from './job-filter.ts';

export function retryJobs(engine: Engine): MethodHandler<typeof JobServiceService.retryJobs> {
  return async (request) => {
    const command = decode((fields) => readBulk(fields, 'RetryJobs', request, RetryJobsRequest));
    const { results, nextAfter } = accepted(await engine.jobs.retryJobs(command));
    return {
      results: results.map(({ jobId, result }) => ({
        jobId,
        result: result.ok ? { $case: 'life', life: result.value } : { $case: 'error', error: refusalStatus(result.refusal) },
      })),
      nextPageToken: nextAfter === null ? '' : formatPageToken(jobTokenFilter('RetryJobs', command.filter), nextAfter),
    };
  };
}
