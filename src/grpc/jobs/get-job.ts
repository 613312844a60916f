import type { Engine } from '../../engine/engine.ts';
import { type GetJobRequest, type JobServiceService, JobView } from '../../../gen/stint/v1/job_service.ts';
import { readNamespace, readRequiredJobId } from '../decode.ts';
import { wireJob } from '../encode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';

export function getJob(engine: Engine): MethodHandler<typeof JobServiceService.getJob> {
  return async (request) => {
    const query = decode((fields) => readGetJob(fields, request));
    const { job, payload } = accepted(await engine.jobs.getJob(query));
    const full =
      payload === null ? { payload: undefined, contentType: '' } : { payload: Buffer.from(payload), contentType: job.contentType };
    return { job: wireJob(job), ...full };
  };
}

const WITH_PAYLOAD: Readonly<Record<number, boolean>> = {
  [JobView.UNSPECIFIED]: false,
  [JobView.BASIC]: false,
  [JobView.FULL]: true,
};

function readGetJob(fields: Fields, { namespace, jobId, view }: GetJobRequest) {
  return {
    namespace: readNamespace(fields, namespace),
    jobId: readRequiredJobId(fields, jobId),
    withPayload: fields.choice('view', view, WITH_PAYLOAD, false),
  };
}
