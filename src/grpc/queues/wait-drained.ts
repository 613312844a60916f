import type { Engine } from '../../engine/engine.ts';
import type { QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { wireCounts, wireStatus } from './queue.ts';

export function waitDrained(engine: Engine): MethodHandler<typeof QueueServiceService.waitDrained> {
  return async function* waitDrained({ namespace, queue }, call) {
    const name = decode((fields) => ({ namespace: readNamespace(fields, namespace), name: fields.name('queue', queue) }));
    for await (const { drained, counts, status } of engine.queues.waitDrained(name, call.signal, call.ending)) {
      yield { drained, jobs: wireCounts(counts), status: wireStatus(status) };
    }
  };
}
