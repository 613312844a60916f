/** Following the log: every event of a scope, in order, from a cursor on, with a cursor to go on from after each message. */
import { RefusalError } from '../../domain/error.ts';
import type { Delivery, Subscribe } from '../engine.ts';
import { EpochEnded, type EventLog, type LogReader } from '../ports/event-log.ts';
import { JournalDropped, type LogChunk, type LogPosition, type RowPosition } from '../ports/journal.ts';
import { firstOf } from '../wait.ts';
import { CheckpointPace } from './checkpoint-pace.ts';
import { CURSOR_EXPIRED, formatCursor, NOT_RETAINED, readCursor } from './cursor.ts';
import { deliver, type Message } from './deliver.ts';
import { cutIntoMessages, wants } from './message.ts';

export interface SubscribeParts {
  readonly log: EventLog;
  readonly draining: AbortSignal;
}

/** Queue and namespace scopes, from the log. The first message has no events: from there on nothing is missed. */
export async function* followLog(parts: SubscribeParts, query: Subscribe, signal: AbortSignal): AsyncGenerator<Delivery> {
  const reader = await openReader(parts.log, query);
  using ended = firstOf([signal, parts.draining]);
  try {
    yield* deliver(logMessages(query, reader, ended.signal), signal);
  } finally {
    reader.close();
  }
}

async function openReader(log: EventLog, query: Subscribe): Promise<LogReader> {
  if (query.start.kind !== 'cursor') return log.readFrom(query.start.kind === 'from_now' ? 'now' : 'beginning');
  const cursor = readCursor(query, query.start.cursor);
  if (cursor.kind !== 'log') throw new RefusalError(CURSOR_EXPIRED);
  try {
    return await log.readFrom(cursor.position);
  } catch (error) {
    if (error instanceof EpochEnded) throw new RefusalError(CURSOR_EXPIRED);
    throw orNotRetained(error);
  }
}

/** Also in the middle of a stream, of one who reads slower than the log leaves. */
function orNotRetained(error: unknown): unknown {
  return error instanceof JournalDropped ? new RefusalError(NOT_RETAINED) : error;
}

/** What is wanted of the log, and checkpoints, until the signal. */
async function* logMessages(query: Subscribe, reader: LogReader, signal: AbortSignal): AsyncGenerator<Message> {
  const pace = new CheckpointPace();
  const checkpoint = () => ({ events: [], cursor: formatCursor(query, { kind: 'log', position: reader.position }) });
  yield checkpoint();
  while (!signal.aborted) {
    const chunk = await nextChunk(reader, signal, pace.remainingMs());
    const messages = chunk === null ? [] : messagesOf(query, chunk);
    for (const message of messages) {
      yield message;
      // A chunk may be a hundred messages long: who is told to end does not finish it.
      if (signal.aborted) return;
    }
    if (messages.length > 0) pace.told();
    else if (chunk !== null) pace.passedBy();
    if (pace.remainingMs() > 0 || signal.aborted) continue;
    yield checkpoint();
    pace.told();
  }
}

async function nextChunk(reader: LogReader, signal: AbortSignal, waitMs: number): Promise<LogChunk | null> {
  using wait = firstOf([signal], waitMs);
  try {
    return await reader.next(wait.signal);
  } catch (error) {
    throw orNotRetained(error);
  }
}

/** What of a chunk is wanted. The last message is behind the whole chunk: what nobody wants there is passed too. */
function messagesOf(query: Subscribe, chunk: LogChunk): readonly Message[] {
  const wanted = chunk.events.filter(({ event }) => wants(query, event));
  const cut = cutIntoMessages(wanted, ({ event }) => event);
  return cut.map((logged, index) => {
    const next = index === cut.length - 1 ? undefined : logged.at(-1)?.next;
    const position = next === undefined ? chunk.position : within(chunk, next);
    return { events: logged.map(({ event }) => event), cursor: formatCursor(query, { kind: 'log', position }) };
  });
}

/** A position inside a chunk: what was seen before the chunk's window, and how far into it. */
function within(chunk: LogChunk, from: RowPosition): LogPosition {
  return { epoch: chunk.position.epoch, seen: chunk.seenBefore, window: { upTo: chunk.upTo, from } };
}
