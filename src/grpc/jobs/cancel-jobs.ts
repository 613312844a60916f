import type { Engine } from '../../engine/engine.ts';
import { CancelJobsRequest, CancelOutcome, type JobServiceService } from '../../../gen/stint/v1/job_service.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import { formatPageToken } from '../page-token.ts';
import type { MethodHandler } from '../service.ts';
import { refusalStatus } from '../status.ts';
import { readBulk } from './bulk.ts';
import { jobTokenFilter } from './job-filter.ts';

export function cancelJobs(engine: Engine): MethodHandler<typeof JobServiceService.cancelJobs> {
  return async (request) => {
    const command = decode((fields) => readBulk(fields, 'CancelJobs', request, CancelJobsRequest));
    const { results, nextAfter } = accepted(await engine.jobs.cancelJobs(command));
    return {
      results: results.map(({ jobId, result }) => ({
        jobId,
        result: result.ok
          ? { $case: 'outcome', outcome: CancelOutcome[result.value] }
          : { $case: 'error', error: refusalStatus(result.refusal) },
      })),
      nextPageToken: nextAfter === null ? '' : formatPageToken(jobTokenFilter('CancelJobs', command.filter), nextAfter),
    };
  };
}
