import { parseLeaseToken } from '../../domain/lease.ts';
import type { Engine } from '../../engine/engine.ts';
import type { WorkerServiceService } from '../../../gen/stint/v1/worker_service.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readRelease, wireReleased } from './settlement.ts';

export function release(engine: Engine): MethodHandler<typeof WorkerServiceService.release> {
  return async (request) => {
    const settlement = decode((fields) => readRelease(fields, request));
    return wireReleased(accepted(await engine.workers.release({ token: parseLeaseToken(request.leaseToken), ...settlement })), wireJob);
  };
}
