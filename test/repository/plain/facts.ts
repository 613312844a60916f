import { type JobSpec, NO_TIMEOUTS } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { policy } from '../../engine/stage.ts';
import { stage } from './route.ts';

/** The secret of a lease. */
export const FIRST = '00000000-0000-4000-8000-000000000001';

/** What stands in the tables about the jobs of a queue and what was answered, but for what differs from one queue or job to the next. */
export async function factsOf(queue: Queue, answers: readonly unknown[]) {
  const { sql } = stage;
  const ids = sql`select id from stint.job where queue_id = ${queue.id}`;
  const facts = {
    answers,
    jobs: await sql`select to_jsonb(t) - 'id' - 'ord' as row from stint.job t where id in (${ids}) order by t.ord`,
    ready: await sql`select to_jsonb(t) - 'job' - 'ord' as row from stint.ready t where queue_id = ${queue.id} order by t.rank, t.ord`,
    leases: await sql`select to_jsonb(t) - 'job' - 'ord' as row from stint.lease t where queue_id = ${queue.id} order by t.rank, t.ord`,
    attempts: await sql`select to_jsonb(t) - 'job' as row from stint.attempt t where job in (${ids}) order by t.job`,
    ends: await sql`select to_jsonb(t) - 'job' as row from stint.terminal t where job in (${ids}) order by t.job`,
    journal: await sql`select to_jsonb(t) - 'n' - 'xid' - 'jobs' as row from stint.journal t where queue_ids[1] = ${queue.id} order by t.n`,
  };
  return JSON.stringify(facts, (key, value: unknown) => {
    if (key === 'queue_id') return 'id of the queue';
    if (key === 'jobId' || key === 'leaseToken') return 'of the job';
    if (key === 'queue_ids' && Array.isArray(value)) return value.length;
    if (key === 'moves' && Array.isArray(value)) return value.map((row: unknown[]) => row.slice(1));
    return typeof value === 'bigint' ? String(value) : value;
  });
}

/** Jobs of every kind that the lesser statements serve. */
export const SPECS: readonly { readonly what: string; readonly spec: Partial<JobSpec> }[] = [
  { what: 'nothing special', spec: {} },
  { what: 'type, content type and priority', spec: { type: 'mail', contentType: 'text/x', priority: 7 } },
  { what: 'headers and labels', spec: { headers: { a: '"1", {2}' }, labels: { b: 'ü\\' } } },
  {
    what: 'a retry policy',
    spec: { retry: policy({ maxAttempts: 3, initialBackoffMs: 5, multiplier: 1.5, maxBackoffMs: 9, jitter: true }) },
  },
  { what: 'codes that are not tried again', spec: { retry: policy({ nonRetryableCodes: ['a', 'b"c'] }) } },
  { what: 'timeouts', spec: { timeouts: { scheduleToStartMs: 10_000, startToCloseMs: 5_000, scheduleToCloseMs: 20_000 } } },
  { what: 'a bound on the whole of its life', spec: { timeouts: { ...NO_TIMEOUTS, scheduleToCloseMs: 7_000 } } },
  { what: 'an owner', spec: { disposition: 'OWNER_BOUND' } },
];
