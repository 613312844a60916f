import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { JobFilter } from '../../engine/ports/repository.ts';
import type { JobServiceService, ListJobsRequest } from '../../../gen/stint/v1/job_service.ts';
import { readJobId, readJobStates, readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { fitting, jobBytes, listedJob } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';

export function listJobs(engine: Engine): MethodHandler<typeof JobServiceService.listJobs> {
  return async (request) => {
    const query = decode((fields) => readListJobs(fields, request));
    const page = await engine.jobs.listJobs(query);
    const jobs = fitting(page.jobs.map(listedJob), jobBytes);
    const nextAfter = jobs.length < page.jobs.length ? jobs.at(-1)?.jobId : page.nextAfter;
    return { jobs, nextPageToken: nextAfter ? formatPageToken(tokenFilter(query.filter), nextAfter) : '' };
  };
}

function readListJobs(fields: Fields, request: ListJobsRequest) {
  fields.textMaps({ labels: request.labels }, LIMITS.headersAndLabelsBytes);
  const filter: JobFilter = {
    namespace: readNamespace(fields, request.namespace),
    queue: fields.nameOr('queue', request.queue, null),
    type: fields.nameOr('type', request.type, null),
    states: readJobStates(fields, request.states),
    labels: request.labels,
  };
  const position = readPageToken(fields, request.pageToken, tokenFilter(filter));
  return {
    filter,
    pageSize: readPageSize(fields, request.pageSize),
    after: position === null ? null : readJobId(fields, 'page_token', position),
  };
}

function tokenFilter({ namespace, queue, type, states, labels }: JobFilter): Filter {
  return [
    'ListJobs',
    namespace,
    queue,
    type,
    states.toSorted(),
    Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1)),
  ];
}
