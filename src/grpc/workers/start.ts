import { parseLeaseToken } from '../../domain/lease.ts';
import type { Engine } from '../../engine/engine.ts';
import type { WorkerServiceService } from '../../../gen/stint/v1/worker_service.ts';
import { wireJob } from '../encode.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';

export function start(engine: Engine): MethodHandler<typeof WorkerServiceService.start> {
  return async ({ leaseToken }) => ({ job: wireJob(accepted(await engine.workers.start(parseLeaseToken(leaseToken)))) });
}
