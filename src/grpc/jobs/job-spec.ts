import type { Idempotency, JobSpec } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Disposition, IdempotencyScope, type JobSpec as WireJobSpec, OnDuplicate } from '../../../gen/stint/v1/job.ts';
import { readContentType, readJobId, readKey, readRetryPolicy } from '../decode.ts';
import type { Fields } from '../fields.ts';

const PRIORITY = { min: -(2 ** 31), max: 2 ** 31 - 1 };

const IDEMPOTENCY_TTL_MS = { min: 1_000, max: LIMITS.delayMs };

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

/** `fields` are those of the spec itself. */
export function readJobSpec(fields: Fields, spec: WireJobSpec): JobSpec {
  refuseUnserved(fields, spec);
  fields.textMaps({ headers: spec.headers, labels: spec.labels }, LIMITS.headersAndLabelsBytes);
  return {
    queue: fields.name('queue', spec.queue),
    type: fields.nameOr('type', spec.type, ''),
    payload: fields.bytes('payload', spec.payload, LIMITS.payloadBytes),
    contentType: readContentType(fields, 'content_type', spec.contentType),
    headers: spec.headers,
    labels: spec.labels,
    jobId: spec.jobId === '' ? null : readJobId(fields, 'job_id', spec.jobId),
    idempotency: readIdempotency(fields, spec),
    onDuplicate: fields.choice('on_duplicate', spec.onDuplicate, ON_DUPLICATE, 'RETURN_EXISTING'),
    priority: fields.integer('priority', spec.priority, PRIORITY),
    runAt: fields.instant('run_at', spec.runAt),
    retry: readRetryPolicy(fields, spec.retry),
  };
}

function refuseUnserved(fields: Fields, spec: WireJobSpec): void {
  fields.unserved('timeouts', spec.timeouts !== undefined);
  fields.unserved('concurrency_key', spec.concurrencyKey !== '');
  fields.unserved('fairness_key', spec.fairnessKey !== '');
  fields.unserved('disposition', spec.disposition !== Disposition.UNSPECIFIED && spec.disposition !== Disposition.RERUNNABLE);
  fields.unserved('parent_job_id', spec.parentJobId !== '');
  fields.unserved('depends_on', spec.dependsOn.length > 0);
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
