import type { Engine } from '../../engine/engine.ts';
import type { AwaitJobs } from '../../engine/jobs/awaited-jobs.ts';
import { LIMITS } from '../../domain/limits.ts';
import { type AwaitJobsRequest, AwaitMode, type JobServiceService } from '../../../gen/stint/v1/job_service.ts';
import { readJobId, readNamespace } from '../decode.ts';
import { wireJob } from '../encode.ts';
import { decode, type Fields } from '../fields.ts';
import { fitting, jobBytes } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';

export function awaitJobs(engine: Engine): MethodHandler<typeof JobServiceService.awaitJobs> {
  return async function* awaitJobs(request, call) {
    const query = decode((fields) => readAwaitJobs(fields, request));
    for await (const { jobs, remaining } of engine.jobs.awaitJobs(query, call.signal, call.ending)) {
      if (jobs.length === 0) yield { jobs: [], remaining };
      let left = jobs.map(wireJob);
      while (left.length > 0) {
        const first = fitting(left, jobBytes);
        left = left.slice(first.length);
        yield { jobs: first, remaining: remaining + left.length };
        if (query.mode === 'any') return;
      }
    }
  };
}

const MODES: Readonly<Record<number, AwaitJobs['mode']>> = {
  [AwaitMode.UNSPECIFIED]: 'all',
  [AwaitMode.ALL]: 'all',
  [AwaitMode.ANY]: 'any',
};

function readAwaitJobs(fields: Fields, { namespace, jobIds, mode }: AwaitJobsRequest): AwaitJobs {
  const range = { min: 1, max: LIMITS.awaitedJobs };
  const query = {
    namespace: readNamespace(fields, namespace),
    jobIds: fields.list('job_ids', jobIds, range, (jobId, path) => readJobId(fields, path, jobId) ?? fields.giveUp()),
    mode: fields.choice('mode', mode, MODES, 'all'),
  };
  fields.distinct('job_ids', query.jobIds);
  return query;
}
