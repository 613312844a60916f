import type { ClientReadableStream } from '@grpc/grpc-js';
import { SubscribeRequest, type SubscribeResponse } from '../../../gen/stint/v1/event_service.ts';
import { type Program, rest, runProgram } from './program.ts';
import { eventRecord } from './wire.ts';

/** How long a stream is followed before it is left for one on another replica, so that each run resumes many times. */
const STREAM_MS = 3_000;
const PAUSE_MS = 50;

/** Follows everything from the beginning, stream after stream, each from the cursor of the last message. */
async function subscribe(program: Program): Promise<void> {
  let cursor: string | null = null;
  for (let stream = 1; !program.leaving.aborted; stream += 1) {
    cursor = await follow(program, stream, cursor);
    await rest(PAUSE_MS, program.leaving);
  }
}

/** One stream, until it ends. Gives the cursor to go on from. */
async function follow(program: Program, number: number, start: string | null): Promise<string | null> {
  const { settings, writer, recorder, pool } = program;
  const { replica, events } = pool.next();
  const about = { subscriber: settings.name, stream: number };
  writer.write({ op: 'stream', ...about, replica, resumed: start !== null });
  const stream = events.subscribe(requestFrom(settings.namespace, start));
  const leave = leaveInTime(stream, program.leaving);
  let cursor = start;
  try {
    const messages: AsyncIterable<SubscribeResponse> = stream;
    for await (const message of messages) {
      if (message.events.length > 0) writer.write({ op: 'events', ...about, events: message.events.map(eventRecord) });
      cursor = message.cursor;
    }
  } catch (error) {
    // Of another history of the database: what there is of it is told from the beginning.
    if (!leave.happened() && recorder.judge('Subscribe', replica, error).outcome === 'refused') cursor = null;
  } finally {
    leave.forget();
  }
  return cursor;
}

function requestFrom(namespace: string, cursor: string | null): SubscribeRequest {
  return SubscribeRequest.fromPartial({
    namespace,
    scope: { $case: 'everything', everything: {} },
    start: cursor === null ? { $case: 'fromBeginning', fromBeginning: {} } : { $case: 'cursor', cursor },
  });
}

/** Cancels a stream after a while, or when the program is to leave. */
function leaveInTime(stream: ClientReadableStream<SubscribeResponse>, leaving: AbortSignal) {
  let happened = false;
  const leave = () => {
    happened = true;
    stream.cancel();
  };
  const alarm = setTimeout(leave, STREAM_MS);
  leaving.addEventListener('abort', leave);
  return {
    happened: () => happened,
    forget: () => {
      clearTimeout(alarm);
      leaving.removeEventListener('abort', leave);
    },
  };
}

void runProgram(subscribe);
