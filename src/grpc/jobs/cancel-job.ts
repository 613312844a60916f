import type { Engine } from '../../engine/engine.ts';
import { CancelJobRequest, CancelOutcome, type JobServiceService } from '../../../gen/stint/v1/job_service.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readReasoned } from './operate.ts';

export function cancelJob(engine: Engine): MethodHandler<typeof JobServiceService.cancelJob> {
  return async (request) => {
    const command = decode((fields) => readReasoned(fields, request, CancelJobRequest));
    const { job, outcome } = accepted(await engine.jobs.cancelJob(command));
    return { job: wireJob(job), outcome: CancelOutcome[outcome] };
  };
}
