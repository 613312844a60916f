import type { Engine } from '../../engine/engine.ts';
import type { QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';

export function getSignature(engine: Engine): MethodHandler<typeof QueueServiceService.getSignature> {
  return async ({ namespace, queue }) => {
    const query = decode((fields) => ({ namespace: readNamespace(fields, namespace), queue: fields.name('queue', queue) }));
    const { signature, jobCount } = accepted(await engine.queues.getSignature(query));
    return { signature, jobCount: BigInt(jobCount) };
  };
}
