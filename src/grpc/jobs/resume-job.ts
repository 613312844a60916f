import type { Engine } from '../../engine/engine.ts';
import { type JobServiceService, ResumeJobRequest } from '../../../gen/stint/v1/job_service.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readReasoned } from './operate.ts';

export function resumeJob(engine: Engine): MethodHandler<typeof JobServiceService.resumeJob> {
  return async (request) => {
    const command = decode((fields) => readReasoned(fields, request, ResumeJobRequest));
    return { job: wireJob(accepted(await engine.jobs.resumeJob(command)).job) };
  };
}
