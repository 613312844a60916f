import type { Engine } from '../../engine/engine.ts';
import type { CheckInvariantsRequest, QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import type { MethodHandler } from '../service.ts';

export function checkInvariants(engine: Engine): MethodHandler<typeof QueueServiceService.checkInvariants> {
  return async (request) => {
    const query = decode((fields) => readCheckInvariants(fields, request));
    const { violations, next } = await engine.queues.checkInvariants(query);
    return {
      violations: violations.map(({ invariant, jobId, detail }) => ({ invariant, jobId, detail })),
      nextPageToken: next === null ? '' : formatPageToken(tokenFilter(query.namespace), next),
    };
  };
}

function readCheckInvariants(fields: Fields, request: CheckInvariantsRequest) {
  fields.unserved('queue', request.queue !== '');
  fields.unserved('job_id', request.jobId !== '');
  const namespace = readNamespace(fields, request.namespace);
  return {
    namespace,
    pageSize: readPageSize(fields, request.pageSize),
    after: readPageToken(fields, request.pageToken, tokenFilter(namespace)),
  };
}

function tokenFilter(namespace: string): Filter {
  return ['CheckInvariants', namespace];
}
