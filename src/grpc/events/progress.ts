import type { JobProgress, Progress } from '../../domain/progress.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { JobProgress as WireJobProgress, Progress as WireProgress } from '../../../gen/stint/v1/lease.ts';
import { timestamp } from '../encode.ts';
import type { Fields } from '../fields.ts';

const FRACTION = { min: 0, max: 1 };

export function readProgress(fields: Fields, { fraction, message }: WireProgress): Progress {
  return {
    fraction: fraction === undefined ? null : fields.double('fraction', fraction, FRACTION),
    message: fields.text('message', message, LIMITS.progressMessageBytes),
  };
}

export function wireProgress({ jobId, queue, fence, attempt, workerId, progress, reportedAt }: JobProgress): WireJobProgress {
  const { fraction, message } = progress;
  return {
    jobId,
    queue,
    fence,
    attempt,
    workerId,
    progress: { fraction: fraction ?? undefined, message },
    reportedAt: timestamp(reportedAt),
  };
}
