import type { Refusal } from '../../domain/error.ts';
import type { QueueSettings } from '../../domain/queue.ts';
import type { Engine } from '../../engine/engine.ts';
import type { PutItem } from '../../engine/ports/queues.ts';
import { Queue as WireQueue } from '../../../gen/stint/v1/queue.ts';
import { PutQueueRequest, type QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { readRequestKey } from '../request-key.ts';
import type { MethodHandler } from '../service.ts';
import { wireQueue } from './queue.ts';
import { readSettings } from './queue-settings.ts';

export function putQueue(engine: Engine): MethodHandler<typeof QueueServiceService.putQueue> {
  return async (request, call) => {
    const item = decode((fields) => readPut(fields, request, call.peer));
    const { queue } = accepted(await engine.queues.putQueue(item));
    return { queue: queue === null ? undefined : wireQueue(queue) };
  };
}

function readPut(fields: Fields, request: PutQueueRequest, actor: string): PutItem {
  const queue = request.queue ?? WireQueue.fromPartial({});
  const within = fields.within('queue');
  const apply = readSettings(fields, within, queue, request.updateMask);
  return {
    namespace: readNamespace(fields, request.namespace),
    name: within.name('name', queue.name),
    change: (former) => {
      const settings = apply(former);
      const refusal = contradiction(settings);
      return refusal === null ? { settings } : { refusal };
    },
    actor,
    request: readRequestKey(fields, request, PutQueueRequest),
  };
}

/** What each field allows and all of them together do not. */
function contradiction({ retry }: QueueSettings): Refusal | null {
  if (retry.initialBackoffMs <= retry.maxBackoffMs) return null;
  return {
    kind: 'invalid_field',
    violations: [
      { field: 'queue.retry.initial_backoff', description: `must not be more than max_backoff, which is ${retry.maxBackoffMs / 1_000} s` },
    ],
  };
}
