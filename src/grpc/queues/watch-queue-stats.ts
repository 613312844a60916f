import type { Engine } from '../../engine/engine.ts';
import type { WatchQueueStats } from '../../engine/queues/watch-queue-stats.ts';
import type { QueueServiceService, WatchQueueStatsRequest } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { wireStats } from './queue-stats.ts';

const INTERVAL_MS = { min: 100, max: 60_000 };
const DEFAULT_INTERVAL_MS = 1_000;

export function watchQueueStats(engine: Engine): MethodHandler<typeof QueueServiceService.watchQueueStats> {
  return async function* watchQueueStats(request, call) {
    const query = decode((fields) => readWatch(fields, request));
    for await (const stats of engine.queues.watchQueueStats(query, call.signal, call.ending)) yield { stats: wireStats(stats) };
  };
}

function readWatch(fields: Fields, { namespace, queue, interval }: WatchQueueStatsRequest): WatchQueueStats {
  return {
    name: { namespace: readNamespace(fields, namespace), name: fields.name('queue', queue) },
    intervalMs: fields.durationMs('interval', interval, INTERVAL_MS) ?? DEFAULT_INTERVAL_MS,
  };
}
