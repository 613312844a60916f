import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../domain/event.ts';
import { DISPOSITION_CODES, type Asked, type Disposition, type Job, type Micros } from '../domain/job.ts';
import { int, int8, instant, instantOrNull, jobId, stringMap, text, textOrNull, type Row } from './row.ts';
import { shard } from './statement.ts';

/** The part of a job that never moves. */
export type JobRecord = Pick<
  Job,
  | 'namespace'
  | 'queue'
  | 'jobId'
  | 'type'
  | 'priority'
  | 'maxAttempts'
  | 'runAt'
  | 'createdAt'
  | 'contentType'
  | 'headers'
  | 'labels'
  | 'idempotencyKey'
  | 'concurrencyKey'
  | 'disposition'
  | 'fairnessKey'
>;

/** Laterals `j` and `q` for the job in `x.job`; `offset 0` pins one primary-key lookup a row. */
export const jobOfX = sql`
  cross join lateral (select * from stint.job where shard = ${shard} and id = x.job offset 0) j
  cross join lateral (select * from stint.queue where shard = ${shard} and id = j.queue_id offset 0) q`;

/** Columns of `j` and `q` that `parseJobRecord` reads: payload and digest stay where they are. */
export const jobRecordColumns = sql`j.id as job_id, j.namespace, q.name as queue, j.type, j.rank,
  coalesce(j.max_attempts, q.max_attempts) as max_attempts, j.run_at, j.created_at, j.content_type, j.headers, j.labels,
  j.idempotency_key, j.concurrency_key, j.disposition, j.fairness_key`;

/** Column `former_failure`: the latest failure in the life of a held `x`. A first try has none, and costs no look. */
export const formerFailureOfX = sql`case when x.attempt > 1 then (
    select f.failure from stint.attempt f where f.shard = ${shard} and f.job = x.job and f.life = x.life and f.failure is not null
     order by f.fence desc limit 1) end as former_failure`;

/** What moves; `runAt` and `priority` only where they are other than the record's, `asked` where something was asked. */
export type Moving = Omit<Job, keyof JobRecord | 'asked'> & Partial<Pick<Job, 'runAt' | 'priority' | 'asked'>>;

/** The whole job. Field by field: an object that is spread and then given further properties costs V8 some twenty times as much. */
export function wholeJob(record: JobRecord, moving: Moving): Job {
  return {
    namespace: record.namespace,
    queue: record.queue,
    jobId: record.jobId,
    type: record.type,
    state: moving.state,
    priority: moving.priority ?? record.priority,
    life: moving.life,
    attempt: moving.attempt,
    maxAttempts: record.maxAttempts,
    fence: moving.fence,
    runAt: moving.runAt === undefined ? record.runAt : moving.runAt,
    createdAt: record.createdAt,
    startedAt: moving.startedAt,
    finishedAt: moving.finishedAt,
    lastSequence: moving.lastSequence,
    contentType: record.contentType,
    result: moving.result,
    resultContentType: moving.resultContentType,
    failure: moving.failure,
    idempotencyKey: record.idempotencyKey,
    concurrencyKey: record.concurrencyKey,
    labels: record.labels,
    headers: record.headers,
    workerId: moving.workerId,
    leaseExpiresAt: moving.leaseExpiresAt,
    disposition: record.disposition,
    fairnessKey: record.fairnessKey,
    asked: moving.asked ?? null,
  };
}

export function parseJobRecord(row: Row): JobRecord {
  return {
    namespace: text(row, 'namespace'),
    queue: text(row, 'queue'),
    jobId: jobId(row, 'job_id'),
    type: text(row, 'type'),
    priority: Number(-int8(row, 'rank')),
    maxAttempts: int(row, 'max_attempts'),
    runAt: runAtOf(row),
    createdAt: instant(row, 'created_at'),
    contentType: text(row, 'content_type'),
    headers: stringMap(row, 'headers'),
    labels: stringMap(row, 'labels'),
    idempotencyKey: textOrNull(row, 'idempotency_key') ?? '',
    concurrencyKey: textOrNull(row, 'concurrency_key') ?? '',
    disposition: parseDisposition(int(row, 'disposition')),
    fairnessKey: textOrNull(row, 'fairness_key') ?? '',
  };
}

const DISPOSITIONS = new Map<number, Disposition>([
  [DISPOSITION_CODES.RERUNNABLE, 'RERUNNABLE'],
  [DISPOSITION_CODES.OWNER_BOUND, 'OWNER_BOUND'],
  [DISPOSITION_CODES.EXTERNALLY_OWNED, 'EXTERNALLY_OWNED'],
]);

export function parseDisposition(code: number): Disposition {
  const disposition = DISPOSITIONS.get(code);
  if (disposition === undefined) throw new Error(`a job has disposition ${code}, unknown to this version`);
  return disposition;
}

const microseconds = (at: SQL) => sql`(extract(epoch from ${at}) * 1000000)::bigint`;

/**
 * Columns `cancel_deadline` and `told`: what was asked of a held `x` in this life, and the time that an update gave it. One that was
 * claimed as it was enqueued, and has only been started since, was told nothing and costs no look.
 */
export const toldOfX = sql`x.cancel_deadline, case
    when x.claimed_seq > 2 or x.seq > x.claimed_seq + case when x.started_seq is null then 0 else 1 end then (
    select jsonb_build_object(
        'cancel', (array_agg(jsonb_build_object('m', e.detail::jsonb -> 'm', 'at', ${microseconds(sql`e.at`)}))
          filter (where e.type = ${EVENT_CODES.cancel_requested} and e.life = x.life))[1],
        'abandon_at', max(${microseconds(sql`e.at`)}) filter (where e.type = ${EVENT_CODES.abandon_requested} and e.life = x.life),
        'run_at', (array_agg(e.detail::jsonb -> 'r' order by e.seq desc)
          filter (where e.type = ${EVENT_CODES.updated} and e.detail::jsonb -> 'r' is not null))[1])
      from stint.job_event e where e.shard = ${shard} and e.job = x.job) end as told`;

/** What was asked, from the columns of `toldOfX`. */
export function askedOrNull(row: Row): Asked | null {
  const told = object(row, 'told');
  const cancel = told === null ? null : object(told, 'cancel');
  const abandonRequestedAt = told === null || told['abandon_at'] === null ? null : int(told, 'abandon_at');
  if (cancel === null && abandonRequestedAt === null) return null;
  return {
    cancelRequestedAt: cancel === null ? null : int(cancel, 'at'),
    cancelDeadline: instantOrNull(row, 'cancel_deadline'),
    cancelReason: cancel === null ? '' : text(cancel, 'm'),
    abandonRequestedAt,
    suspendReason: '',
  };
}

/** As the job was enqueued, or as the last update says; 0 is at once. */
function runAtOf(row: Row): Micros | null {
  const told = object(row, 'told');
  if (told === null || told['run_at'] === null) return instantOrNull(row, 'run_at');
  const updated = int(told, 'run_at');
  return updated === 0 ? null : updated;
}

function object(row: Row, column: string): Row | null {
  const value = row[column];
  return typeof value === 'object' && value !== null ? { ...value } : null;
}
