import { EVENT_TYPE, eventType, RESERVED_EVENT_TYPES, type EventDetail, type Evidence, type JobEvent } from '../../domain/event.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Event, ExternalEvidence } from '../../../gen/stint/v1/event.ts';
import { optionalTimestamp, timestamp, wireFailure, wireState } from '../encode.ts';
import type { Fields } from '../fields.ts';

/** Types of events to look for, each once, however often it is named. */
export function readEventTypes(fields: Fields, types: readonly string[]): string[] {
  const range = { min: 0, max: LIMITS.eventTypes };
  return [...new Set(fields.list('types', types, range, (type, path) => readEventType(fields, path, type)))];
}

/** A type to look for: built-in, or one that a custom event may have. */
export function readEventType(fields: Fields, field: string, type: string): string {
  if (type === '') fields.refuse(field, 'is required');
  else if (!EVENT_TYPE.test(type)) fields.refuse(field, `must match ${EVENT_TYPE.source}`);
  else if (type.startsWith(RESERVED_EVENT_TYPES)) fields.refuse(field, `no event has a type that begins with ${RESERVED_EVENT_TYPES}`);
  return type;
}

export function wireEvent(event: JobEvent): Event {
  return {
    namespace: event.namespace,
    queue: event.queue,
    jobId: event.jobId,
    sequence: BigInt(event.sequence),
    type: eventType(event),
    occurredAt: timestamp(event.occurredAt),
    life: event.life,
    attempt: event.attempt,
    fence: event.fence,
    state: wireState(event.state),
    workerId: event.workerId,
    detail: wireDetail(event.detail),
  };
}

function wireDetail(detail: EventDetail): Event['detail'] {
  switch (detail.type) {
    case 'enqueued': {
      const { jobType, priority, runAt } = detail;
      return { $case: 'enqueued', enqueued: { jobType, priority, runAt: optionalTimestamp(runAt) } };
    }
    case 'ready':
      return { $case: 'ready', ready: {} };
    case 'claimed':
      return { $case: 'claimed', claimed: {} };
    case 'started':
      return { $case: 'started', started: {} };
    case 'released':
      return { $case: 'released', released: { runAt: optionalTimestamp(detail.runAt) } };
    case 'retry_scheduled': {
      const { failure, retryAt, nextAttempt } = detail;
      return { $case: 'retryScheduled', retryScheduled: { failure: wireFailure(failure), retryAt: timestamp(retryAt), nextAttempt } };
    }
    case 'suspended':
      return { $case: 'suspended', suspended: { reason: detail.reason } };
    case 'resumed':
      return { $case: 'resumed', resumed: { reason: detail.reason } };
    case 'retried':
      return { $case: 'retried', retried: { reason: detail.reason } };
    case 'cancel_requested': {
      const { reason, cancelDeadline } = detail;
      return { $case: 'cancelRequested', cancelRequested: { reason, cancelDeadline: timestamp(cancelDeadline) } };
    }
    case 'abandon_requested':
      return { $case: 'abandonRequested', abandonRequested: { reason: detail.reason } };
    case 'updated': {
      const { priority, runAt } = detail.change;
      return { $case: 'updated', updated: { priority, runAt: optionalTimestamp(runAt ?? null) } };
    }
    case 'custom':
      return { $case: 'custom', custom: { data: Buffer.from(detail.data), contentType: detail.contentType } };
    default:
      return wireEnd(detail);
  }
}

function wireEnd(detail: Extract<EventDetail, { readonly type: TerminalEventType }>): Event['detail'] {
  switch (detail.type) {
    case 'succeeded':
      return { $case: 'succeeded', succeeded: { evidence: wireEvidence(detail.evidence) } };
    case 'failed': {
      const { failure, deadLettered, evidence } = detail;
      return { $case: 'failed', failed: { failure: wireFailure(failure), deadLettered, evidence: wireEvidence(evidence) } };
    }
    case 'cancelled':
      return { $case: 'cancelled', cancelled: { reason: detail.reason, evidence: wireEvidence(detail.evidence) } };
    case 'abandoned':
      return { $case: 'abandoned', abandoned: { reason: detail.reason, failure: wireFailure(detail.failure) } };
  }
}

type TerminalEventType = 'succeeded' | 'failed' | 'cancelled' | 'abandoned';

function wireEvidence(evidence: Evidence | null): ExternalEvidence | undefined {
  if (evidence === null) return undefined;
  return { authority: evidence.authority, data: Buffer.from(evidence.data), contentType: evidence.contentType };
}
