/** Following the log: every event of a scope, in order, from a cursor on, with a cursor to go on from after each message. */
import { RefusalError } from '../../domain/error.ts';
import type { Delivery, Subscribe } from '../engine.ts';
import type { ProgressBoard, ProgressWatch } from '../progress/progress-board.ts';
import { EpochEnded, type EventLog, type LogReader } from '../ports/event-log.ts';
import { JournalDropped, type LogChunk, type LogPosition, type RowPosition } from '../ports/journal.ts';
import { firstOf } from '../wait.ts';
import { CheckpointPace } from './checkpoint-pace.ts';
import { cursorExpired, filterText, formatCursor, readCursor } from './cursor.ts';
import { deliver, type Message } from './deliver.ts';
import { followProgress } from './follow-progress.ts';
import { cutIntoMessages, wants } from './message.ts';
import type { SharedMessages } from './shared-messages.ts';

export interface SubscribeParts {
  readonly log: EventLog;
  readonly board: ProgressBoard;
  /** Aborts when the stream is to end in order. */
  readonly draining: AbortSignal;
}

export interface FollowLogParts extends SubscribeParts {
  readonly shared: SharedMessages;
}

/** Queue and namespace scopes, from the log. The first message has no events: from there on nothing is missed. */
export async function* followLog(parts: FollowLogParts, query: Subscribe, signal: AbortSignal): AsyncGenerator<Delivery> {
  const reader = await openReader(parts.log, query);
  using ended = firstOf([signal, parts.draining]);
  const following = followProgress(parts.board, query);
  try {
    yield* deliver(logMessages(parts, query, { reader, following }, ended.signal), { draining: parts.draining, signal });
  } finally {
    following?.close();
    reader.close();
  }
}

async function openReader(log: EventLog, query: Subscribe): Promise<LogReader> {
  if (query.start.kind !== 'cursor') return log.readFrom(query.start.kind === 'from_now' ? 'now' : 'beginning');
  const cursor = readCursor(query, query.start.cursor);
  if (cursor.kind !== 'log') throw await expired(log, query, 'other_history');
  try {
    return await log.readFrom(cursor.position);
  } catch (error) {
    if (error instanceof EpochEnded) throw await expired(log, query, 'other_history');
    throw await orNotRetained(log, query, error);
  }
}

/** Also in the middle of a stream, of one who reads slower than the log leaves. */
async function orNotRetained(log: EventLog, query: Subscribe, error: unknown): Promise<unknown> {
  return error instanceof JournalDropped ? await expired(log, query, 'not_retained') : error;
}

async function expired(log: EventLog, query: Subscribe, why: Parameters<typeof cursorExpired>[1]): Promise<RefusalError> {
  return new RefusalError(cursorExpired(query, why, await log.epoch()));
}

interface Sources {
  readonly reader: LogReader;
  /** Null where no progress is wanted. */
  readonly following: ProgressWatch | null;
}

/** What is wanted of the log, progress, and checkpoints, until the signal. */
async function* logMessages(
  { log, shared }: FollowLogParts,
  query: Subscribe,
  { reader, following }: Sources,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  const pace = new CheckpointPace();
  const filter = filterText(query);
  const checkpoint = () => ({ events: [], cursor: formatCursor(query, { kind: 'log', position: reader.position }) });
  yield checkpoint();
  while (!signal.aborted) {
    const chunk = await nextChunk(reader, following, signal, pace.remainingMs()).catch(async (error: unknown) => {
      throw await orNotRetained(log, query, error);
    });
    const progress = following?.take() ?? [];
    const messages = chunk === null ? [] : shared.of(chunk, filter, () => messagesOf(query, chunk));
    for (const message of messages) {
      yield message;
      // A chunk may be a hundred messages long: who is told to end does not finish it.
      if (signal.aborted) return;
    }
    if (progress.length > 0) yield { ...checkpoint(), progress };
    if (messages.length > 0 || progress.length > 0) pace.told();
    else if (chunk !== null) pace.passedBy();
    if (pace.remainingMs() > 0 || signal.aborted) continue;
    yield checkpoint();
    pace.told();
  }
}

/** Null also where progress came before any event did. */
async function nextChunk(
  reader: LogReader,
  following: ProgressWatch | null,
  signal: AbortSignal,
  waitMs: number,
): Promise<LogChunk | null> {
  if (following === null) return await reader.next(signal, waitMs);
  const [news, over] = [new AbortController(), new AbortController()];
  using wait = firstOf([signal, news.signal]);
  void following.news(over.signal).then(() => news.abort());
  try {
    return await reader.next(wait.signal, waitMs);
  } finally {
    over.abort();
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
