import type { Idempotency, JobSpec } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Disposition, IdempotencyScope, type JobSpec as WireJobSpec, OnDuplicate } from '../../../gen/stint/v1/job.ts';
import { PRIORITY, readContentType, readJobId, readKey, readRetryPolicy } from '../decode.ts';
import type { TraceHeaders } from '../../ops/trace-context.ts';
import type { Fields } from '../fields.ts';
import { tracedHeaders } from './trace-headers.ts';

const IDEMPOTENCY_TTL_MS = { min: 1_000, max: LIMITS.delayMs };

const TIMEOUT_MS = { min: 1, max: LIMITS.delayMs };

const DISPOSITIONS: Readonly<Record<number, JobSpec['disposition']>> = {
  [Disposition.UNSPECIFIED]: 'RERUNNABLE',
  [Disposition.RERUNNABLE]: 'RERUNNABLE',
  [Disposition.OWNER_BOUND]: 'OWNER_BOUND',
  [Disposition.EXTERNALLY_OWNED]: 'EXTERNALLY_OWNED',
};

const SCOPES: Readonly<Record<number, Idempotency['scope']>> = {
  [IdempotencyScope.UNSPECIFIED]: 'RETAINED',
  [IdempotencyScope.RETAINED]: 'RETAINED',
  [IdempotencyScope.UNTIL_TERMINAL]: 'UNTIL_TERMINAL',
};

const ON_DUPLICATE: Readonly<Record<number, JobSpec['onDuplicate']>> = {
  [OnDuplicate.UNSPECIFIED]: 'RETURN_EXISTING',
  [OnDuplicate.RETURN_EXISTING]: 'RETURN_EXISTING',
  [OnDuplicate.REJECT]: 'REJECT',
};

/** `fields` are those of the spec itself; `trace` is for where it names none. */
export function readJobSpec(fields: Fields, spec: WireJobSpec, trace: TraceHeaders | null): JobSpec {
  refuseUnserved(fields, spec);
  fields.textMaps({ headers: spec.headers, labels: spec.labels }, LIMITS.headersAndLabelsBytes);
  return {
    queue: fields.name('queue', spec.queue),
    type: fields.nameOr('type', spec.type, ''),
    payload: fields.bytes('payload', spec.payload, LIMITS.payloadBytes),
    contentType: readContentType(fields, 'content_type', spec.contentType),
    headers: tracedHeaders(spec, trace),
    labels: spec.labels,
    jobId: spec.jobId === '' ? null : readJobId(fields, 'job_id', spec.jobId),
    idempotency: readIdempotency(fields, spec),
    onDuplicate: fields.choice('on_duplicate', spec.onDuplicate, ON_DUPLICATE, 'RETURN_EXISTING'),
    priority: fields.integer('priority', spec.priority, PRIORITY),
    runAt: fields.instant('run_at', spec.runAt),
    retry: readRetryPolicy(fields, spec.retry),
    fairnessKey: readKey(fields, 'fairness_key', spec.fairnessKey),
    ...readCourse(fields, spec),
  };
}

function refuseUnserved(fields: Fields, spec: WireJobSpec): void {
  fields.unserved('parent_job_id', spec.parentJobId !== '');
  fields.unserved('depends_on', spec.dependsOn.length > 0);
}

/** Who may end it, beside what, and how long the parts of its life may take. */
function readCourse(fields: Fields, spec: WireJobSpec): Pick<JobSpec, 'disposition' | 'timeouts' | 'concurrencyKey'> {
  const disposition = fields.choice('disposition', spec.disposition, DISPOSITIONS, 'RERUNNABLE');
  const concurrencyKey = readKey(fields, 'concurrency_key', spec.concurrencyKey);
  const within = fields.within('timeouts');
  const timeouts = {
    scheduleToStartMs: within.durationMs('schedule_to_start', spec.timeouts?.scheduleToStart, TIMEOUT_MS),
    startToCloseMs: within.durationMs('start_to_close', spec.timeouts?.startToClose, TIMEOUT_MS),
    scheduleToCloseMs: within.durationMs('schedule_to_close', spec.timeouts?.scheduleToClose, TIMEOUT_MS),
  };
  if (disposition === 'EXTERNALLY_OWNED') {
    const description = 'means nothing for a job that is never claimed';
    if (timeouts.scheduleToStartMs !== null) within.refuse('schedule_to_start', description);
    if (timeouts.startToCloseMs !== null) within.refuse('start_to_close', description);
    if (concurrencyKey !== '') fields.refuse('concurrency_key', description);
  }
  return { disposition, timeouts, concurrencyKey };
}

function readIdempotency(parent: Fields, { idempotencyKey, idempotency }: WireJobSpec): Idempotency | null {
  const key = readKey(parent, 'idempotency_key', idempotencyKey);
  const fields = parent.within('idempotency');
  const scope = fields.choice('scope', idempotency?.scope ?? IdempotencyScope.UNSPECIFIED, SCOPES, 'RETAINED');
  const ttlMs = fields.durationMs('ttl', idempotency?.ttl, IDEMPOTENCY_TTL_MS);
  if (key !== '') return { key, scope, ttlMs };
  if (idempotency !== undefined) parent.refuse('idempotency', 'needs an idempotency_key');
  return null;
}
