import type { Engine } from '../../engine/engine.ts';
import { type JobServiceService, RetryJobRequest } from '../../../gen/stint/v1/job_service.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readReasoned } from './operate.ts';

export function retryJob(engine: Engine): MethodHandler<typeof JobServiceService.retryJob> {
  return async (request) => {
    const command = decode((fields) => readReasoned(fields, request, RetryJobRequest));
    return { job: wireJob(accepted(await engine.jobs.retryJob(command)).job) };
  };
}
