import { parseLeaseToken } from '../../domain/lease.ts';
import type { Engine } from '../../engine/engine.ts';
import type { WorkerServiceService } from '../../../gen/stint/v1/worker_service.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readSuspend, wireAcked } from './settlement.ts';

export function suspend(engine: Engine): MethodHandler<typeof WorkerServiceService.suspend> {
  return async (request) => {
    const settlement = decode((fields) => readSuspend(fields, request));
    return wireAcked(accepted(await engine.workers.suspend({ token: parseLeaseToken(request.leaseToken), ...settlement })), wireJob);
  };
}
