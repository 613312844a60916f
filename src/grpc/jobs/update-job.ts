import type { JobChange } from '../../domain/event.ts';
import type { Engine } from '../../engine/engine.ts';
import { type JobServiceService, UpdateJobRequest } from '../../../gen/stint/v1/job_service.ts';
import { PRIORITY } from '../decode.ts';
import { wireJob } from '../encode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readOperate } from './operate.ts';

export function updateJob(engine: Engine): MethodHandler<typeof JobServiceService.updateJob> {
  return async (request) => {
    const command = decode((fields) => ({ change: readChange(fields, request), ...readOperate(fields, request, UpdateJobRequest) }));
    return { job: wireJob(accepted(await engine.jobs.updateJob(command)).job) };
  };
}

const PATHS = ['priority', 'run_at'];

function readChange(fields: Fields, { priority, runAt, updateMask = [] }: UpdateJobRequest): JobChange {
  if (updateMask.length === 0) fields.refuse('update_mask', 'is required: priority, run_at or both');
  for (const path of updateMask) {
    if (!PATHS.includes(path)) fields.refuse('update_mask', `can hold ${PATHS.join(' and ')} only`);
  }
  return {
    ...(updateMask.includes('priority') ? { priority: fields.integer('priority', priority, PRIORITY) } : {}),
    ...(updateMask.includes('run_at') ? { runAt: fields.instant('run_at', runAt) } : {}),
  };
}
