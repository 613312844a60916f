import type { Engine } from '../../engine/engine.ts';
import type { AwaitTerminal } from '../../engine/jobs/await-terminal.ts';
import type { AwaitTerminalRequest, JobServiceService } from '../../../gen/stint/v1/job_service.ts';
import { readNamespace, readRequiredJobId } from '../decode.ts';
import { wireJob } from '../encode.ts';
import { wireProgress } from '../events/progress.ts';
import { decode, type Fields } from '../fields.ts';
import type { MethodHandler } from '../service.ts';

export function awaitTerminal(engine: Engine): MethodHandler<typeof JobServiceService.awaitTerminal> {
  return async function* awaitTerminal(request, call) {
    const query = decode((fields) => readAwaitTerminal(fields, request));
    for await (const { job, terminal, progress } of engine.jobs.awaitTerminal(query, call.signal, call.ending)) {
      yield { job: wireJob(job), terminal, progress: progress === null ? undefined : wireProgress(progress) };
    }
  };
}

const LIFE = { min: 0, max: 2 ** 31 - 1 };

function readAwaitTerminal(fields: Fields, request: AwaitTerminalRequest): AwaitTerminal {
  return {
    namespace: readNamespace(fields, request.namespace),
    jobId: readRequiredJobId(fields, request.jobId),
    includeProgress: request.includeProgress,
    afterLife: fields.integer('after_life', request.afterLife, LIFE),
  };
}
