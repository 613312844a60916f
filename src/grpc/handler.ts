import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  sendUnaryData,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
} from '@grpc/grpc-js';
import { RefusalError, type Result } from '../domain/error.ts';
import { Call, type Carriers } from './call.ts';
import { Unreadable } from './received.ts';
import { errorResponse } from './status.ts';

/** Where a defect is told that no end of a call tells, with the name of the RPC. */
export type Report = (cause: unknown, method: string) => void;

export type UnaryHandler<Request, Response> = (request: Request, call: Call) => Promise<Response>;

/** Messages are drawn one at a time: the next one is not asked for before the last one has left. */
export type StreamHandler<Request, Response> = (request: Request, call: Call) => AsyncIterable<Response>;

/** Requests are read one at a time as they are asked for, and so are messages. */
export type DuplexHandler<Request, Response> = (requests: AsyncIterable<Request>, call: Call) => AsyncIterable<Response>;

export function unary(
  method: string,
  handle: UnaryHandler<unknown, unknown>,
  report: Report,
  carriers?: Carriers,
): handleUnaryCall<unknown, unknown> {
  return (surface: ServerUnaryCall<unknown, unknown>, respond: sendUnaryData<unknown>) => {
    const call = new Call(surface, carriers);
    const fail = (error: unknown) => respond(errorResponse(error, (cause) => tell(report, method, call, cause)));
    answer(handle, surface.request, call).then((response) => respond(null, response), fail);
  };
}

async function answer(handle: UnaryHandler<unknown, unknown>, request: unknown, call: Call): Promise<unknown> {
  return await handle(readable(request), call);
}

export function serverStream(
  method: string,
  handle: StreamHandler<unknown, unknown>,
  report: Report,
  carriers?: Carriers,
): handleServerStreamingCall<unknown, unknown> {
  return (stream: ServerWritableStream<unknown, unknown>) => {
    const call = new Call(stream, carriers);
    const pouring = () => pour(handle(readable(stream.request), call), stream, call);
    endWith(stream, pouring, (cause) => tell(report, method, call, cause));
  };
}

export function duplexStream(
  method: string,
  handle: DuplexHandler<unknown, unknown>,
  report: Report,
  carriers?: Carriers,
): handleBidiStreamingCall<unknown, unknown> {
  return (stream: ServerDuplexStream<unknown, unknown>) => {
    const call = new Call(stream, carriers);
    const pouring = () => pour(handle(requestsOf(stream, call), call), stream, call);
    endWith(stream, pouring, (cause) => tell(report, method, call, cause));
  };
}

/** What is written to, by an RPC of whichever kind. */
type Writable = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;

function endWith(stream: Writable, pouring: () => Promise<void>, report: (cause: unknown) => void): void {
  const fail = (error: unknown) => stream.emit('error', errorResponse(error, report));
  Promise.resolve()
    .then(pouring)
    .then(() => stream.end(), fail);
}

function readable(request: unknown): unknown {
  if (request instanceof Unreadable) throw new RefusalError(request.refusal);
  return request;
}

/** Until the client says no more, or the call is over. */
async function* requestsOf(stream: ServerDuplexStream<unknown, unknown>, call: Call): AsyncGenerator {
  try {
    // Who stops listening may still have something to say.
    for await (const request of stream.iterator({ destroyOnReturn: false })) yield readable(request);
  } catch (error) {
    if (!call.isCancelled) throw error;
  }
}

async function pour(messages: AsyncIterable<unknown>, stream: Writable, call: Call): Promise<void> {
  for await (const message of messages) {
    if (call.signal.aborted || !(await written(stream, message, call.signal))) return;
  }
}

/**
 * Waits until the transport has taken the message, or the call is over, and then says false: after a cancel the transport calls
 * nobody back. One message on its way at a time, rather than the stream's own sixteen, is all that a reader who has stopped can
 * hold here.
 */
function written(stream: Writable, message: unknown, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const cut = () => resolve(false);
    signal.addEventListener('abort', cut, { once: true });
    stream.write(message, () => {
      signal.removeEventListener('abort', cut);
      resolve(true);
    });
  });
}

/** Who watches a call is told by its end. One whose client has gone has ended before: what fails then is told here, but for the abort itself. */
function tell(report: Report, method: string, call: Call, cause: unknown): void {
  const isAbort = cause instanceof Error && cause.name === 'AbortError';
  if (call.isCancelled && !isAbort) report(cause, method);
}

/** The answer, or its refusal on the way to the client. */
export function accepted<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new RefusalError(result.refusal);
}
