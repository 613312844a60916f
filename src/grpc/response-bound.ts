/** Keeps answers that hold many items within the bound that every client's default takes. */
import type { Job } from '../domain/job.ts';
import { LIMITS } from '../domain/limits.ts';
import type { Event, ExternalEvidence } from '../../gen/stint/v1/event.ts';
import type { Attempt as WireAttempt, Job as WireJob } from '../../gen/stint/v1/job.ts';
import type { DeadLetter, Queue } from '../../gen/stint/v1/queue.ts';
import type { AuditRecord } from '../../gen/stint/v1/queue_service.ts';
import type { Failure } from '../../gen/stint/v1/retry.ts';
import { wireJob } from './encode.ts';

/** What an item takes besides the parts that are counted: ids, names, times, numbers. */
const FIXED_BYTES = 768;

/** The first items that fit together, one at least. */
export function fitting<Item>(items: Item[], bytesOf: (item: Item) => number): Item[] {
  let bytes = 0;
  const tooMany = items.findIndex((item, index) => {
    bytes += bytesOf(item);
    return index > 0 && bytes > LIMITS.responseBytes;
  });
  return tooMany === -1 ? items : items.slice(0, tooMany);
}

/**
 * The jobs of one positional answer. Every item must be told, so those past the bound come without what makes jobs large:
 * labels, headers and result.
 */
export class JobBudget {
  #bytesLeft: number = LIMITS.responseBytes;

  encode(job: Job): WireJob {
    const whole = wireJob(job);
    this.#bytesLeft -= jobBytes(whole);
    return this.#bytesLeft >= 0 ? whole : { ...whole, labels: {}, headers: {}, result: undefined, failure: brief(whole.failure) };
  }
}

/** Lists leave out results: whoever wants one asks for the job. */
export function listedJob(job: Job): WireJob {
  return { ...wireJob(job), result: undefined };
}

export function jobBytes({ result, labels, headers, failure }: WireJob): number {
  return FIXED_BYTES + (result?.byteLength ?? 0) + mapBytes(labels) + mapBytes(headers) + failureBytes(failure);
}

export function attemptBytes({ failure, reason }: WireAttempt): number {
  return FIXED_BYTES + failureBytes(failure) + Buffer.byteLength(reason);
}

export function deadLetterBytes({ payload, failure, attempts, labels, headers }: DeadLetter): number {
  const told = FIXED_BYTES + payload.byteLength + failureBytes(failure) + mapBytes(labels) + mapBytes(headers);
  return attempts.reduce((sum, attempt) => sum + attemptBytes(attempt), told);
}

export function queueBytes({ retry, statusReason }: Queue): number {
  const framing = 2;
  const codes = retry?.nonRetryableCodes ?? [];
  return codes.reduce((sum, code) => sum + framing + code.length, FIXED_BYTES + Buffer.byteLength(statusReason));
}

export function auditBytes({ reason, before, after }: AuditRecord): number {
  return FIXED_BYTES + Buffer.byteLength(reason) + Buffer.byteLength(before) + Buffer.byteLength(after);
}

export function eventBytes({ detail }: Event): number {
  switch (detail?.$case) {
    case 'retryScheduled':
      return FIXED_BYTES + failureBytes(detail.retryScheduled.failure);
    case 'succeeded':
      return FIXED_BYTES + evidenceBytes(detail.succeeded.evidence);
    case 'failed':
      return FIXED_BYTES + failureBytes(detail.failed.failure) + evidenceBytes(detail.failed.evidence);
    case 'cancelled':
      return FIXED_BYTES + LIMITS.reasonBytes + evidenceBytes(detail.cancelled.evidence);
    case 'abandoned':
      return FIXED_BYTES + LIMITS.failureMessageBytes + failureBytes(detail.abandoned.failure);
    case 'custom':
      return FIXED_BYTES + detail.custom.data.byteLength;
    case undefined:
      return FIXED_BYTES;
    default:
      return FIXED_BYTES + LIMITS.reasonBytes;
  }
}

function evidenceBytes(evidence: ExternalEvidence | undefined): number {
  return evidence === undefined ? 0 : FIXED_BYTES + evidence.data.byteLength;
}

function brief(failure: Failure | undefined): Failure | undefined {
  return failure === undefined ? undefined : { ...failure, message: '', details: '' };
}

function failureBytes(failure: Failure | undefined): number {
  return failure === undefined ? 0 : Buffer.byteLength(failure.message) + Buffer.byteLength(failure.details);
}

function mapBytes(map: Readonly<Record<string, string>>): number {
  const framing = 8;
  return Object.entries(map).reduce((sum, [key, value]) => sum + framing + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}
