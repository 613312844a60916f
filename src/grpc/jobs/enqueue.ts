import type { Engine } from '../../engine/engine.ts';
import { JobSpec } from '../../../gen/stint/v1/job.ts';
import type { EnqueueRequest, JobServiceService } from '../../../gen/stint/v1/job_service.ts';
import { readNamespace } from '../decode.ts';
import { wireJob } from '../encode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import type { TraceHeaders } from '../../ops/trace-context.ts';
import { readJobSpec } from './job-spec.ts';
import { traceOf } from './trace-headers.ts';

export function enqueue(engine: Engine): MethodHandler<typeof JobServiceService.enqueue> {
  return async (request, call) => {
    const command = decode((fields) => readEnqueue(fields, request, traceOf(call)));
    const { job, deduplicated } = accepted(await engine.jobs.enqueue(command));
    return { job: wireJob(job), deduplicated };
  };
}

const NO_SPEC = JobSpec.fromPartial({});

function readEnqueue(fields: Fields, { namespace, job }: EnqueueRequest, trace: TraceHeaders | null) {
  if (job === undefined) fields.refuse('job', 'is required');
  return { namespace: readNamespace(fields, namespace), spec: readJobSpec(fields.within('job'), job ?? NO_SPEC, trace) };
}
