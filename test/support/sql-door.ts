/** Calls of `stint.enqueue`, with each argument as text: what a driver makes of a value is not what is tested. */
import type { ISql } from 'postgres';
import type { JobSpec } from '../../src/domain/job.ts';
import { instantLiteral } from '../../src/repository/row.ts';

/** The arguments of version 1 in order, with their types. */
export const DOOR_ARGUMENTS = {
  queue: 'text',
  payload: 'bytea',
  type: 'text',
  namespace: 'text',
  content_type: 'text',
  priority: 'integer',
  run_at: 'timestamp with time zone',
  idempotency_key: 'text',
  idempotency_scope: 'text',
  idempotency_ttl: 'interval',
  on_duplicate: 'text',
  headers: 'jsonb',
  labels: 'jsonb',
  max_attempts: 'integer',
  initial_backoff: 'interval',
  multiplier: 'double precision',
  max_backoff: 'interval',
  jitter: 'boolean',
  non_retryable_codes: 'text[]',
  disposition: 'text',
  schedule_to_start: 'interval',
  start_to_close: 'interval',
  schedule_to_close: 'interval',
  job_id: 'uuid',
} as const;

export type DoorArgument = keyof typeof DOOR_ARGUMENTS;
export type DoorCall = Readonly<Partial<Record<DoorArgument, string | number | null>>>;

export interface Entered {
  readonly job_id: string;
  readonly deduplicated: boolean;
}

/** One call in whatever transaction `sql` is in. */
export async function enter(sql: Pick<ISql, 'unsafe'>, call: DoorCall): Promise<Entered> {
  const names = Object.keys(DOOR_ARGUMENTS).filter((name): name is DoorArgument => name in call);
  const notation = names.map((name, index) => `${name} => $${index + 1}::text::${DOOR_ARGUMENTS[name]}`);
  const values = names.map((name) => call[name] ?? null).map((value) => (value === null ? null : String(value)));
  const [entered] = await sql.unsafe<Entered[]>(`select * from stint.enqueue(${notation.join(', ')})`, values);
  if (entered === undefined) throw new Error('the door answered nothing');
  return entered;
}

/** The call that brings what `spec` is. */
export function callOf(namespace: string, { idempotency, retry, timeouts, ...spec }: JobSpec): DoorCall {
  const span = (milliseconds: number | null) => (milliseconds === null ? null : `${milliseconds} milliseconds`);
  return {
    namespace,
    queue: spec.queue,
    type: spec.type,
    payload: `\\x${Buffer.from(spec.payload).toString('hex')}`,
    content_type: spec.contentType,
    headers: JSON.stringify(spec.headers),
    labels: JSON.stringify(spec.labels),
    priority: spec.priority,
    run_at: spec.runAt === null ? null : instantLiteral(spec.runAt),
    idempotency_key: idempotency?.key ?? null,
    idempotency_scope: idempotency?.scope ?? null,
    idempotency_ttl: span(idempotency?.ttlMs ?? null),
    on_duplicate: spec.onDuplicate,
    max_attempts: retry.maxAttempts,
    initial_backoff: span(retry.initialBackoffMs),
    multiplier: retry.multiplier,
    max_backoff: span(retry.maxBackoffMs),
    jitter: retry.jitter === null ? null : String(retry.jitter),
    non_retryable_codes: retry.nonRetryableCodes === null ? null : `{${retry.nonRetryableCodes.join(',')}}`,
    disposition: spec.disposition,
    schedule_to_start: span(timeouts.scheduleToStartMs),
    start_to_close: span(timeouts.startToCloseMs),
    schedule_to_close: span(timeouts.scheduleToCloseMs),
    job_id: spec.jobId,
  };
}
