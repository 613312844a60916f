import type { Engine } from '../../engine/engine.ts';
import { type QueueServiceService, RunUpkeepResponse } from '../../../gen/stint/v1/queue_service.ts';
import type { MethodHandler } from '../service.ts';

export function runUpkeep(engine: Engine): MethodHandler<typeof QueueServiceService.runUpkeep> {
  return async () => {
    const { promoted, expired } = await engine.queues.runUpkeep();
    return { ...NOTHING_DONE, promoted: BigInt(promoted), expired: BigInt(expired) };
  };
}

const NOTHING_DONE = RunUpkeepResponse.fromPartial({});
