import type { Engine } from '../../engine/engine.ts';
import type { QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { wireQueue } from './queue.ts';

export function getQueue(engine: Engine): MethodHandler<typeof QueueServiceService.getQueue> {
  return async ({ namespace, queue }) => {
    const query = decode((fields) => ({ namespace: readNamespace(fields, namespace), queue: fields.name('queue', queue) }));
    return { queue: wireQueue(accepted(await engine.queues.getQueue(query))) };
  };
}
