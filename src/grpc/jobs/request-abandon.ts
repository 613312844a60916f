import type { Engine } from '../../engine/engine.ts';
import { AbandonOutcome, type JobServiceService, RequestAbandonRequest } from '../../../gen/stint/v1/job_service.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readReasoned } from './operate.ts';

export function requestAbandon(engine: Engine): MethodHandler<typeof JobServiceService.requestAbandon> {
  return async (request) => {
    const command = decode((fields) => readReasoned(fields, request, RequestAbandonRequest));
    const { job, outcome } = accepted(await engine.jobs.requestAbandon(command));
    return { job: wireJob(job), outcome: AbandonOutcome[outcome] };
  };
}
