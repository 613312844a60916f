import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { PeekQueueRequest, QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { DEFAULT_PAGE_ITEMS } from '../page-token.ts';
import { fitting, jobBytes, listedJob } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';

export function peekQueue(engine: Engine): MethodHandler<typeof QueueServiceService.peekQueue> {
  return async (request) => {
    const query = decode((fields) => readPeekQueue(fields, request));
    return { jobs: fitting(accepted(await engine.queues.peekQueue(query)).map(listedJob), jobBytes) };
  };
}

const TYPES = { min: 0, max: LIMITS.claimTypes };
const MAX_JOBS = { min: 0, max: LIMITS.pageItems };

function readPeekQueue(fields: Fields, { namespace, queue, maxJobs, types }: PeekQueueRequest) {
  return {
    namespace: readNamespace(fields, namespace),
    queue: fields.name('queue', queue),
    types: [...new Set(fields.list('types', types, TYPES, (type, path) => fields.name(path, type)))],
    pageSize: fields.integer('max_jobs', maxJobs, MAX_JOBS) || DEFAULT_PAGE_ITEMS,
  };
}
