import { createHash } from 'node:crypto';
import type { JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import { EnqueueBatchRequest } from '../../gen/stint/v1/job_service.ts';
import type { JobSpec } from '../../gen/stint/v1/job.ts';
import { callUntilAnswered } from '../call.ts';
import { durationOfMs } from '../duration.ts';
import type { DemoFile } from './files.ts';

/** A path is at most 4 KiB, so a batch stays well below the 4 MiB that a request may have. */
const jobsPerBatch = 500;

export interface EnqueuedFile extends DemoFile {
  readonly jobId: string;
}

/** One job per file. The key makes a batch safe to send again when its answer was lost. */
export async function* enqueueFiles(
  jobs: JobServiceClient,
  queue: string,
  files: readonly DemoFile[],
  signal: AbortSignal,
): AsyncGenerator<EnqueuedFile[]> {
  for (let from = 0; from < files.length; from += jobsPerBatch) {
    const batch = files.slice(from, from + jobsPerBatch);
    const request = EnqueueBatchRequest.fromPartial({ jobs: batch.map(({ path }) => jobOf(queue, path)) });
    const { results } = await callUntilAnswered(jobs.enqueueBatch.bind(jobs), request, { signal });
    yield batch.map((file, at) => {
      const result = results[at]?.result;
      if (result?.$case !== 'job') throw new Error(`${file.path} was not enqueued: ${result?.error.message ?? 'no answer'}`);
      return { ...file, jobId: result.job.jobId };
    });
  }
}

function jobOf(queue: string, path: string): Parameters<typeof JobSpec.fromPartial>[0] {
  return {
    queue,
    type: 'sha256',
    payload: Buffer.from(path),
    contentType: 'text/plain; charset=utf-8',
    // A path may be longer than the 256 bytes of a key.
    idempotencyKey: createHash('sha256').update(path).digest('hex'),
    retry: { maxAttempts: 5, initialBackoff: durationOfMs(100) },
  };
}
