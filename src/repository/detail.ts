/** What an event tells besides its envelope, as the journal keeps it: short JSON, or null for nothing. */
import { CLAIMED_AND_STARTED_CODE, EVENT_CODES, type EventDetail } from '../domain/event.ts';
import type { Micros } from '../domain/job.ts';
import { parseFailure } from './row.ts';

/** Keys: t job type, p priority, r instant in microseconds, f failure, n next attempt, d dead-lettered. */
export function enqueuedDetail(jobType: string, priority: number, runAt: Micros | null): string | null {
  if (jobType === '' && priority === 0 && runAt === null) return null;
  return JSON.stringify({
    ...(jobType === '' ? {} : { t: jobType }),
    ...(priority === 0 ? {} : { p: priority }),
    ...(runAt === null ? {} : { r: runAt }),
  });
}

/** The details of the event or events behind one journal entry, in sequence order. */
export function parseDetails(code: number, json: string | null): readonly EventDetail[] {
  if (code === CLAIMED_AND_STARTED_CODE) return [{ type: 'claimed' }, { type: 'started' }];
  return [parseDetail(code, new Map(Object.entries(json === null ? {} : (JSON.parse(json) as object))))];
}

function parseDetail(code: number, told: ReadonlyMap<string, unknown>): EventDetail {
  const runAt = told.has('r') ? Number(told.get('r')) : null;
  const jobType = told.get('t');
  switch (code) {
    case EVENT_CODES.enqueued:
      return { type: 'enqueued', jobType: typeof jobType === 'string' ? jobType : '', priority: Number(told.get('p') ?? 0), runAt };
    case EVENT_CODES.ready:
      return { type: 'ready' };
    case EVENT_CODES.claimed:
      return { type: 'claimed' };
    case EVENT_CODES.started:
      return { type: 'started' };
    case EVENT_CODES.released:
      return { type: 'released', runAt };
    case EVENT_CODES.retry_scheduled:
      return {
        type: 'retry_scheduled',
        failure: parseFailure(told.get('f')),
        retryAt: runAt ?? 0,
        nextAttempt: Number(told.get('n')),
      };
    case EVENT_CODES.succeeded:
      return { type: 'succeeded' };
    case EVENT_CODES.failed:
      return { type: 'failed', failure: parseFailure(told.get('f')), deadLettered: told.get('d') === true };
    default:
      throw new Error(`the journal holds an event of code ${code}, unknown to this version`);
  }
}
