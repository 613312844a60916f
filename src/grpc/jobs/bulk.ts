/** What the calls that change jobs by a filter have in common. */
import type { JobFilter } from '../../engine/ports/repository.ts';
import { type CancelJobsRequest, JobFilter as WireJobFilter, type RetryJobsRequest } from '../../../gen/stint/v1/job_service.ts';
import { readJobId, readNamespace } from '../decode.ts';
import type { Fields } from '../fields.ts';
import { readPageSize, readPageToken } from '../page-token.ts';
import { readRequestKey } from '../request-key.ts';
import { jobTokenFilter, readJobFilter, sortedEntries } from './job-filter.ts';
import { readReason } from './operate.ts';

type BulkRequest = CancelJobsRequest | RetryJobsRequest;

interface Codec {
  encode(message: BulkRequest): { finish(): Uint8Array };
}

export function readBulk(fields: Fields, rpc: string, request: BulkRequest, codec: Codec) {
  const filter = readFilter(fields, readNamespace(fields, request.namespace), request.filter);
  const position = readPageToken(fields, request.pageToken, jobTokenFilter(rpc, filter));
  return {
    filter,
    reason: readReason(fields, request.reason),
    dryRun: request.dryRun,
    pageSize: readPageSize(fields, request.pageSize),
    after: position === null ? null : readJobId(fields, 'page_token', position),
    request: readRequestKey(fields, { ...request, filter: withSortedLabels(request.filter) }, codec),
  };
}

function readFilter(fields: Fields, namespace: string, given: WireJobFilter = WireJobFilter.fromPartial({})): JobFilter {
  const filter = readJobFilter(fields.within('filter'), namespace, given);
  if (!hasCondition(filter)) fields.refuse('filter', 'must have at least one condition');
  return filter;
}

/** A filter without conditions is about every job: nobody shall cancel a namespace by leaving something out. */
function hasCondition({ queue, type, states, labels, createdFrom, createdBefore }: JobFilter): boolean {
  const isSet = [queue, type, createdFrom, createdBefore].some((condition) => condition !== null);
  return isSet || states.length > 0 || Object.keys(labels).length > 0;
}

/** So that a request that is sent again is the same one. */
function withSortedLabels(filter: WireJobFilter | undefined): WireJobFilter | undefined {
  return filter === undefined ? undefined : { ...filter, labels: Object.fromEntries(sortedEntries(filter.labels)) };
}
