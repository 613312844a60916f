import type { Engine } from '../../engine/engine.ts';
import type { QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { wireStats } from './queue-stats.ts';

export function getQueueStats(engine: Engine): MethodHandler<typeof QueueServiceService.getQueueStats> {
  return async ({ namespace, queue }) => {
    const name = decode((fields) => ({ namespace: readNamespace(fields, namespace), name: fields.name('queue', queue) }));
    return { stats: wireStats(accepted(await engine.queues.getQueueStats(name))) };
  };
}
