/** What an event tells besides its envelope, as the journal and the rows behind a history keep it: short JSON, or null for nothing. */
import {
  CLAIMED_AND_STARTED_CODE,
  CUSTOM_CODE,
  EVENT_CODES,
  type EventDetail,
  type Evidence,
  type HeldState,
  type JobChange,
} from '../domain/event.ts';
import { JOB_STATES, type JobState, type Micros } from '../domain/job.ts';
import { parseFailure } from './row.ts';

/**
 * Keys: t job type, p priority, b blocked, r instant in microseconds, f failure, n next attempt, d dead-lettered, m reason, s state, e evidence;
 * of a custom event y type, d data in base64, c content type, s state.
 */
export function enqueuedDetail(jobType: string, priority: number, runAt: Micros | null, blocked: boolean): string | null {
  if (jobType === '' && priority === 0 && runAt === null && !blocked) return null;
  return JSON.stringify({
    ...(jobType === '' ? {} : { t: jobType }),
    ...(priority === 0 ? {} : { p: priority }),
    ...(runAt === null ? {} : { r: runAt }),
    ...(blocked ? { b: true } : {}),
  });
}

/** What an update tells; `r` 0 is at once. */
export function updatedDetail(change: JobChange): string {
  return JSON.stringify({
    ...(change.priority === undefined ? {} : { p: change.priority }),
    ...(change.runAt === undefined ? {} : { r: change.runAt ?? 0 }),
  });
}

export function evidenceJson({ authority, data, contentType }: Evidence) {
  return { a: authority, d: Buffer.from(data).toString('base64'), c: contentType };
}

/** The details of the event or events behind one journal entry, in sequence order. */
export function parseDetails(code: number, json: string | null): readonly EventDetail[] {
  if (code === CLAIMED_AND_STARTED_CODE) return [{ type: 'claimed' }, { type: 'started' }];
  return [parseDetail(code, json)];
}

export function parseDetail(code: number, json: string | null): EventDetail {
  const told: Told = new Map(Object.entries(json === null ? {} : (JSON.parse(json) as object)));
  switch (code) {
    case EVENT_CODES.enqueued:
      return { type: 'enqueued', jobType: text(told, 't'), priority: Number(told.get('p') ?? 0), runAt: micros(told), ...blocked(told) };
    case EVENT_CODES.ready:
      return { type: 'ready', ...blocked(told) };
    case EVENT_CODES.claimed:
      return { type: 'claimed' };
    case EVENT_CODES.started:
      return { type: 'started' };
    case EVENT_CODES.released:
      return { type: 'released', runAt: micros(told), ...blocked(told) };
    case EVENT_CODES.retry_scheduled:
      return {
        type: 'retry_scheduled',
        failure: parseFailure(told.get('f')),
        retryAt: micros(told) ?? 0,
        nextAttempt: Number(told.get('n')),
      };
    default:
      return parseAsked(code, told) ?? parseEnd(code, told);
  }
}

type Told = ReadonlyMap<string, unknown>;

function parseAsked(code: number, told: Told): EventDetail | null {
  switch (code) {
    case EVENT_CODES.suspended:
      return { type: 'suspended', reason: text(told, 'm') };
    case EVENT_CODES.resumed:
      return { type: 'resumed', reason: text(told, 'm'), ...blocked(told) };
    case EVENT_CODES.retried:
      return { type: 'retried', reason: text(told, 'm'), ...blocked(told) };
    case EVENT_CODES.cancel_requested:
      return { type: 'cancel_requested', reason: text(told, 'm'), cancelDeadline: micros(told) ?? 0, state: heldState(told) };
    case EVENT_CODES.abandon_requested:
      return { type: 'abandon_requested', reason: text(told, 'm'), state: heldState(told) };
    case EVENT_CODES.updated:
      return { type: 'updated', change: parseChange(told), state: anyState(told) };
    case CUSTOM_CODE:
      return {
        type: 'custom',
        customType: text(told, 'y'),
        data: Buffer.from(text(told, 'd'), 'base64'),
        contentType: text(told, 'c'),
        state: anyState(told),
      };
    default:
      return null;
  }
}

function parseEnd(code: number, told: Told): EventDetail {
  const evidence = parseEvidence(told.get('e'));
  switch (code) {
    case EVENT_CODES.succeeded:
      return { type: 'succeeded', evidence };
    case EVENT_CODES.failed:
      return { type: 'failed', failure: parseFailure(told.get('f')), deadLettered: told.get('d') === true, evidence };
    case EVENT_CODES.cancelled:
      return { type: 'cancelled', reason: text(told, 'm'), evidence };
    case EVENT_CODES.abandoned:
      return { type: 'abandoned', reason: text(told, 'm'), failure: parseFailure(told.get('f')) };
    default:
      throw new Error(`a job has an event of code ${code}, unknown to this version`);
  }
}

function parseChange(told: Told): JobChange {
  return {
    ...(told.has('p') ? { priority: Number(told.get('p')) } : {}),
    ...(told.has('r') ? { runAt: micros(told) === 0 ? null : micros(told) } : {}),
  };
}

function parseEvidence(value: unknown): Evidence | null {
  if (typeof value !== 'object' || value === null) return null;
  const fields: Told = new Map(Object.entries(value));
  return { authority: text(fields, 'a'), data: Buffer.from(text(fields, 'd'), 'base64'), contentType: text(fields, 'c') };
}

function text(told: Told, key: string): string {
  const value = told.get(key);
  return typeof value === 'string' ? value : '';
}

function blocked(told: Told): { readonly blocked?: true } {
  return told.get('b') === true ? { blocked: true } : {};
}

function micros(told: Told): Micros | null {
  return told.has('r') ? Number(told.get('r')) : null;
}

function heldState(told: Told): HeldState {
  return told.get('s') === 'LEASED' ? 'LEASED' : 'RUNNING';
}

function anyState(told: Told): JobState {
  const state = JOB_STATES.find((one) => one === told.get('s'));
  if (state === undefined) throw new Error('an event names no state');
  return state;
}
