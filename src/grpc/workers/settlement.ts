/** The settlements, as messages: what their own RPCs and `Settle` have in common. */
import { formatDeadLetterId } from '../../domain/dead-letter.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Job } from '../../domain/job.ts';
import type { Ack, Acked, Fail, Failed, Release, Released, Suspend } from '../../engine/workers/words.ts';
import type { Job as WireJob } from '../../../gen/stint/v1/job.ts';
import {
  type AckResponse,
  type AckSettlement,
  type FailResponse,
  type FailSettlement,
  type ReleaseResponse,
  type ReleaseSettlement,
  SettlementOutcome,
  type SuspendResponse,
  type SuspendSettlement,
} from '../../../gen/stint/v1/worker_service.ts';
import { readContentType, readFailure } from '../decode.ts';
import { timestamp } from '../encode.ts';
import type { Fields } from '../fields.ts';

const DELAY_MS = { min: 0, max: LIMITS.delayMs };

export function readAck(fields: Fields, { result, contentType }: AckSettlement): Omit<Ack, 'token'> {
  return {
    result: fields.bytes('result', result, LIMITS.resultBytes),
    contentType: readContentType(fields, 'content_type', contentType),
  };
}

export function readFail(fields: Fields, { failure, retryAfter, throttleUntil }: FailSettlement): Omit<Fail, 'token'> {
  return {
    failure: readFailure(fields, failure),
    retryAfterMs: fields.durationMs('retry_after', retryAfter, DELAY_MS),
    throttleUntil: fields.instant('throttle_until', throttleUntil),
  };
}

export function readRelease(fields: Fields, { delay }: ReleaseSettlement): Omit<Release, 'token'> {
  return { delayMs: fields.durationMs('delay', delay, DELAY_MS) ?? 0 };
}

export function readSuspend(fields: Fields, { checkpoint, reason }: SuspendSettlement): Omit<Suspend, 'token'> {
  return {
    checkpoint: checkpoint === undefined ? null : fields.bytes('checkpoint', checkpoint, LIMITS.checkpointBytes),
    reason: fields.text('reason', reason, LIMITS.reasonBytes),
  };
}

/** How the job of an answer is put: whole where it is the only one. */
export type EncodeJob = (job: Job) => WireJob;

/** Of an ack, and alike of a suspension. */
export function wireAcked({ job, outcome }: Acked, encodeJob: EncodeJob): AckResponse & SuspendResponse {
  return { job: encodeJob(job), outcome: SettlementOutcome[outcome], next: undefined };
}

export function wireFailed(failed: Failed, encodeJob: EncodeJob): FailResponse {
  const { job, outcome } = failed;
  return { job: encodeJob(job), outcome: SettlementOutcome[outcome], consequence: consequence(failed) };
}

export function wireReleased({ job, outcome }: Released, encodeJob: EncodeJob): ReleaseResponse {
  return { job: job === null ? undefined : encodeJob(job), outcome: SettlementOutcome[outcome] };
}

function consequence({ job, decision }: Failed): FailResponse['consequence'] {
  switch (decision.kind) {
    case 'retry_scheduled': {
      const { nextAttempt, retryAt } = decision;
      return { $case: 'retryScheduled', retryScheduled: { nextAttempt, retryAt: timestamp(retryAt) } };
    }
    case 'dead_lettered':
      return { $case: 'deadLettered', deadLettered: { deadLetterId: formatDeadLetterId({ jobId: job.jobId, life: decision.life }) } };
    case 'failed':
      return { $case: 'failed', failed: {} };
    case 'cancelled':
      return { $case: 'cancelled', cancelled: {} };
  }
}
