import type { Engine } from '../../engine/engine.ts';
import type { JobServiceService, ListJobsRequest } from '../../../gen/stint/v1/job_service.ts';
import { readJobId, readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { fitting, jobBytes, listedJob } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';
import { jobTokenFilter, readJobFilter } from './job-filter.ts';

export function listJobs(engine: Engine): MethodHandler<typeof JobServiceService.listJobs> {
  return async (request) => {
    const query = decode((fields) => readListJobs(fields, request));
    const page = await engine.jobs.listJobs(query);
    const jobs = fitting(page.jobs.map(listedJob), jobBytes);
    const nextAfter = jobs.length < page.jobs.length ? jobs.at(-1)?.jobId : page.nextAfter;
    return { jobs, nextPageToken: nextAfter ? formatPageToken(jobTokenFilter('ListJobs', query.filter), nextAfter) : '' };
  };
}

function readListJobs(fields: Fields, request: ListJobsRequest) {
  const namespace = readNamespace(fields, request.namespace);
  const filter = readJobFilter(fields, namespace, { ...request, createdFrom: undefined, createdBefore: undefined });
  const position = readPageToken(fields, request.pageToken, jobTokenFilter('ListJobs', filter));
  return {
    filter,
    pageSize: readPageSize(fields, request.pageSize),
    after: position === null ? null : readJobId(fields, 'page_token', position),
  };
}
