import { parseLeaseToken } from '../../domain/lease.ts';
import type { Engine } from '../../engine/engine.ts';
import type { WorkerServiceService } from '../../../gen/stint/v1/worker_service.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readFail, wireFailed } from './settlement.ts';

export function fail(engine: Engine): MethodHandler<typeof WorkerServiceService.fail> {
  return async (request) => {
    const settlement = decode((fields) => readFail(fields, request));
    return wireFailed(accepted(await engine.workers.fail({ token: parseLeaseToken(request.leaseToken), ...settlement })), wireJob);
  };
}
