/** Following the log: every event of a scope, in order, from a cursor on, with a cursor to go on from after each message. */
import { RefusalError } from '../../domain/error.ts';
import type { JobEvent } from '../../domain/event.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Delivery, Subscribe } from '../engine.ts';
import { EpochEnded, type EventLog, type LogReader } from '../ports/event-log.ts';
import type { LogChunk, LogPosition } from '../ports/journal.ts';
import { firstOf } from '../wait.ts';
import { formatCursor, parseCursor, type Cursor } from './cursor.ts';

/** A checkpoint is sent so often while events pass by unseen … */
const BUSY_CHECKPOINT_MS = 10_000;
/** … and so often while nothing happens at all. */
const IDLE_CHECKPOINT_MS = 60_000;

export interface SubscribeParts {
  readonly log: EventLog;
  readonly draining: AbortSignal;
}

/** Queue and namespace scopes, from the log. The first message has no events: from there on nothing is missed. */
export async function* followLog(parts: SubscribeParts, query: Subscribe, signal: AbortSignal): AsyncGenerator<Delivery> {
  const reader = await openReader(parts.log, query);
  const at = (position: LogPosition): string => formatCursor(query, { kind: 'log', position });
  using ended = firstOf([signal, parts.draining]);
  let cursor = at(reader.position);
  try {
    yield { events: [], cursor, reconnect: null };
    let [toldAt, passedBy] = [performance.now(), false];
    while (!ended.signal.aborted) {
      const quietMs = performance.now() - toldAt;
      using wait = firstOf([ended.signal], Math.max(0, (passedBy ? BUSY_CHECKPOINT_MS : IDLE_CHECKPOINT_MS) - quietMs));
      const chunk = await reader.next(wait.signal);
      const messages = chunk === null ? [] : messagesOf(query, chunk, reader.position);
      for (const message of messages) {
        cursor = at(message.position);
        yield { events: message.events, cursor, reconnect: null };
      }
      cursor = at(reader.position);
      if (messages.length > 0) [toldAt, passedBy] = [performance.now(), false];
      else if (chunk !== null) passedBy = true;
      const due = performance.now() - toldAt >= (passedBy ? BUSY_CHECKPOINT_MS : IDLE_CHECKPOINT_MS);
      if (!due || ended.signal.aborted) continue;
      yield { events: [], cursor, reconnect: null };
      [toldAt, passedBy] = [performance.now(), false];
    }
    if (!signal.aborted) yield { events: [], cursor, reconnect: 'the server is shutting down' };
  } catch (error) {
    if (!(error instanceof EpochEnded)) throw error;
    yield { events: [], cursor, reconnect: 'the database was restored or failed over' };
  } finally {
    reader.close();
  }
}

async function openReader(log: EventLog, query: Subscribe): Promise<LogReader> {
  if (query.start.kind !== 'cursor') return log.readFrom(query.start.kind === 'from_now' ? 'now' : 'beginning');
  const cursor = readCursor(query, query.start.cursor);
  if (cursor.kind !== 'log') throw new RefusalError(foreignCursor());
  try {
    return await log.readFrom(cursor.position);
  } catch (error) {
    if (error instanceof EpochEnded) throw new RefusalError({ kind: 'cursor_expired', why: 'it belongs to another history of the database' });
    throw error;
  }
}

/** What the client handed back, or the refusal it gets for handing back something else. */
export function readCursor(query: Subscribe, text: string): Cursor {
  const cursor = parseCursor(query, text);
  if (cursor === null) throw new RefusalError(foreignCursor());
  return cursor;
}

function foreignCursor() {
  const description = 'it is not a cursor that this service gave for this very scope and these types';
  return { kind: 'invalid_field' as const, violations: [{ field: 'cursor', description }] };
}

interface Message {
  readonly events: readonly JobEvent[];
  readonly position: LogPosition;
}

/** What of a chunk is wanted, cut into messages; each position is behind its last event. */
function messagesOf(query: Subscribe, chunk: LogChunk, behind: LogPosition): readonly Message[] {
  const wanted = chunk.events.filter(({ event }) => matches(query, event));
  const messages: Message[] = [];
  let [events, bytes]: [JobEvent[], number] = [[], 0];
  wanted.forEach(({ event, next }, index) => {
    events.push(event);
    bytes += sizeBytes(event);
    const last = index === wanted.length - 1;
    if (!last && events.length < LIMITS.eventsPerMessage && bytes < LIMITS.eventMessageBytes / 2) return;
    messages.push({ events, position: last ? behind : within(chunk, next, behind) });
    [events, bytes] = [[], 0];
  });
  return messages;
}

/** A position inside a chunk: what was seen before the chunk's window, and how far into it. */
function within(chunk: LogChunk, from: NonNullable<LogPosition['window']>['from'], behind: LogPosition): LogPosition {
  return { epoch: behind.epoch, seen: chunk.seenBefore, window: { upTo: chunk.upTo, from } };
}

function matches({ namespace, scope, types }: Subscribe, event: JobEvent): boolean {
  if (event.namespace !== namespace) return false;
  if (scope.kind === 'queue' && event.queue !== scope.queue) return false;
  return types.length === 0 || types.includes(event.detail.type);
}

/** Bytes an event takes in a message, roughly: what a failure says makes the difference. */
export function sizeBytes({ detail }: JobEvent): number {
  const failure = 'failure' in detail ? detail.failure.message.length * 3 + detail.failure.details.byteLength : 0;
  return 512 + failure;
}
