import { sql } from 'drizzle-orm';
import type { Job } from '../domain/job.ts';
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
>;

/** Laterals `j` and `q` for the job in `x.job`; `offset 0` pins one primary-key lookup a row. */
export const jobOfX = sql`
  cross join lateral (select * from stint.job where shard = ${shard} and id = x.job offset 0) j
  cross join lateral (select * from stint.queue where shard = ${shard} and id = j.queue_id offset 0) q`;

/** Columns of `j` and `q` that `parseJobRecord` reads: payload and digest stay where they are. */
export const jobRecordColumns = sql`j.id as job_id, j.namespace, q.name as queue, j.type, j.rank,
  coalesce(j.max_attempts, q.max_attempts) as max_attempts, j.run_at, j.created_at, j.content_type, j.headers, j.labels,
  j.idempotency_key`;

/** Column `former_failure`: the latest failure in the life of a held `x`. A first try has none, and costs no look. */
export const formerFailureOfX = sql`case when x.attempt > 1 then (
    select f.failure from stint.attempt f where f.shard = ${shard} and f.job = x.job and f.life = x.life and f.failure is not null
     order by f.fence desc limit 1) end as former_failure`;

/** What moves; `runAt` only where it is another than the record's. */
export type Moving = Omit<Job, keyof JobRecord> & Partial<Pick<Job, 'runAt'>>;

/** The whole job. Field by field: an object that is spread and then given further properties costs V8 some twenty times as much. */
export function wholeJob(record: JobRecord, moving: Moving): Job {
  return {
    namespace: record.namespace,
    queue: record.queue,
    jobId: record.jobId,
    type: record.type,
    state: moving.state,
    priority: record.priority,
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
    labels: record.labels,
    headers: record.headers,
    workerId: moving.workerId,
    leaseExpiresAt: moving.leaseExpiresAt,
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
    runAt: instantOrNull(row, 'run_at'),
    createdAt: instant(row, 'created_at'),
    contentType: text(row, 'content_type'),
    headers: stringMap(row, 'headers'),
    labels: stringMap(row, 'labels'),
    idempotencyKey: textOrNull(row, 'idempotency_key') ?? '',
  };
}
