import type { Engine } from '../../engine/engine.ts';
import { type QueueServiceService, RunUpkeepResponse } from '../../../gen/stint/v1/queue_service.ts';
import type { MethodHandler } from '../service.ts';

export function runUpkeep(engine: Engine): MethodHandler<typeof QueueServiceService.runUpkeep> {
  return async () => {
    const done = await engine.queues.runUpkeep();
    return {
      ...NOTHING_DONE,
      promoted: BigInt(done.promoted),
      expired: BigInt(done.expired),
      timedOut: BigInt(done.timedOut),
      cancelled: BigInt(done.cancelled),
      abandoned: BigInt(done.abandoned),
      unblocked: BigInt(done.unblocked),
      pruned: BigInt(done.pruned),
    };
  };
}

const NOTHING_DONE = RunUpkeepResponse.fromPartial({});
