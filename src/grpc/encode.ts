/** The words of the domain that several services put on the wire. */
import type { Asked, Failure, Job, JobState, Micros } from '../domain/job.ts';
import type { Duration } from '../../gen/google/protobuf/duration.ts';
import type { Timestamp } from '../../gen/google/protobuf/timestamp.ts';
import { Disposition, Job as WireJob, JobState as WireJobState } from '../../gen/stint/v1/job.ts';
import { FailureKind, type Failure as WireFailure } from '../../gen/stint/v1/retry.ts';

export function timestamp(micros: Micros): Timestamp {
  const seconds = Math.floor(micros / 1_000_000);
  return { seconds: BigInt(seconds), nanos: (micros - seconds * 1_000_000) * 1_000 };
}

export function optionalTimestamp(micros: Micros | null): Timestamp | undefined {
  return micros === null ? undefined : timestamp(micros);
}

/** For durations that are not negative. */
export function duration(durationMs: number): Duration {
  const seconds = Math.floor(durationMs / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((durationMs - seconds * 1_000) * 1_000_000) };
}

export function wireFailure(failure: Failure): WireFailure {
  return {
    code: failure.code,
    message: failure.message,
    details: Buffer.from(failure.details).toString('utf8'),
    kind: failure.kind === 'TERMINAL' ? FailureKind.TERMINAL : FailureKind.RETRYABLE,
  };
}

export function wireState(state: JobState): WireJobState {
  return WireJobState[state];
}

export function wireJob(job: Job): WireJob {
  return {
    ...UNTOLD,
    namespace: job.namespace,
    queue: job.queue,
    jobId: job.jobId,
    type: job.type,
    state: wireState(job.state),
    priority: job.priority,
    life: job.life,
    attempt: job.attempt,
    maxAttempts: job.maxAttempts,
    fence: job.fence,
    runAt: optionalTimestamp(job.runAt),
    createdAt: timestamp(job.createdAt),
    startedAt: optionalTimestamp(job.startedAt),
    finishedAt: optionalTimestamp(job.finishedAt),
    lastSequence: BigInt(job.lastSequence),
    result: job.result === null ? undefined : Buffer.from(job.result),
    resultContentType: job.resultContentType,
    failure: job.failure === null ? undefined : wireFailure(job.failure),
    idempotencyKey: job.idempotencyKey,
    concurrencyKey: job.concurrencyKey,
    waitingOn: job.state === 'BLOCKED' ? { jobIds: [], concurrencyKey: job.concurrencyKey } : undefined,
    fairnessKey: job.fairnessKey,
    labels: job.labels,
    headers: job.headers,
    workerId: job.workerId,
    leaseExpiresAt: optionalTimestamp(job.leaseExpiresAt),
    contentType: job.contentType,
    disposition: Disposition[job.disposition],
    ...(job.asked === null ? null : wireAsked(job.asked)),
  };
}

function wireAsked(asked: Asked): Partial<WireJob> {
  return {
    cancelRequestedAt: optionalTimestamp(asked.cancelRequestedAt),
    cancelDeadline: optionalTimestamp(asked.cancelDeadline),
    cancelReason: asked.cancelReason,
    abandonRequestedAt: optionalTimestamp(asked.abandonRequestedAt),
    suspendReason: asked.suspendReason,
  };
}

/** Fields of the contract that no job of this service has a value for. */
const UNTOLD = WireJob.fromPartial({});
