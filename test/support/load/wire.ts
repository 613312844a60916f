import { Event } from '../../../gen/stint/v1/event.ts';
import { type Job, JobState } from '../../../gen/stint/v1/job.ts';
import type { EventRecord, FinalJobLine } from '../history/record.ts';
import { MARK_LABEL } from './enqueue.ts';

const stateNames = new Map<JobState, string>(Object.entries(JobState).map(([name, state]) => [state, name]));

/** Without the prefix of the enum: `READY`. */
export function stateName(state: JobState): string {
  return stateNames.get(state) ?? String(state);
}

export function eventRecord(event: Event): EventRecord {
  const { jobId, type, life, attempt, fence, detail } = event;
  const failure =
    detail?.$case === 'retryScheduled' ? detail.retryScheduled.failure : detail?.$case === 'failed' ? detail.failed.failure : null;
  return {
    jobId,
    sequence: Number(event.sequence),
    type,
    life,
    attempt,
    fence,
    state: stateName(event.state),
    worker: event.workerId,
    failureCode: failure?.code ?? '',
    whole: Buffer.from(Event.encode(event).finish()).toString('base64'),
  };
}

export function finalJob(job: Job): FinalJobLine {
  const { jobId, queue, priority, life, attempt, maxAttempts, fence } = job;
  return {
    op: 'final_job',
    ...{ jobId, queue, priority, life, attempt, maxAttempts, fence },
    mark: job.labels[MARK_LABEL] ?? '',
    key: job.idempotencyKey || null,
    state: stateName(job.state),
    lastSequence: Number(job.lastSequence),
  };
}
