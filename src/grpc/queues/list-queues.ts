import type { Engine } from '../../engine/engine.ts';
import type { QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode } from '../fields.ts';
import { formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { fitting, queueBytes } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';
import { wireQueue } from './queue.ts';

export function listQueues(engine: Engine): MethodHandler<typeof QueueServiceService.listQueues> {
  return async (request) => {
    const query = decode((fields) => {
      const namespace = readNamespace(fields, request.namespace);
      const after = readPageToken(fields, request.pageToken, ['ListQueues', namespace]) ?? '';
      return { namespace, after, pageSize: readPageSize(fields, request.pageSize) };
    });
    const page = await engine.queues.listQueues(query);
    const queues = fitting(page.map(wireQueue), queueBytes);
    const isEnd = page.length < query.pageSize && queues.length === page.length;
    const last = isEnd ? undefined : queues.at(-1);
    const nextPageToken = last === undefined ? '' : formatPageToken(['ListQueues', query.namespace], last.name);
    return { queues, nextPageToken };
  };
}
