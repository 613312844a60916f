import type { handleServerStreamingCall, handleUnaryCall, sendUnaryData, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import { RefusalError, type Result } from '../domain/error.ts';
import { Call } from './call.ts';
import { Unreadable } from './received.ts';
import { errorResponse } from './status.ts';

/** Where a defect is told, once, with the name of the RPC. */
export type Report = (cause: unknown, method: string) => void;

export type UnaryHandler<Request, Response> = (request: Request, call: Call) => Promise<Response>;

/** Messages are drawn one at a time: the next one is not asked for before the last one has left. */
export type StreamHandler<Request, Response> = (request: Request, call: Call) => AsyncIterable<Response>;

export function unary(method: string, handle: UnaryHandler<unknown, unknown>, report: Report): handleUnaryCall<unknown, unknown> {
  return (surface: ServerUnaryCall<unknown, unknown>, respond: sendUnaryData<unknown>) => {
    const call = new Call(surface);
    const fail = (error: unknown) => respond(errorResponse(error, (cause) => tell(report, method, call, cause)));
    answer(handle, surface.request, call).then((response) => respond(null, response), fail);
  };
}

async function answer(handle: UnaryHandler<unknown, unknown>, request: unknown, call: Call): Promise<unknown> {
  if (request instanceof Unreadable) throw new RefusalError(request.refusal);
  return await handle(request, call);
}

export function serverStream(
  method: string,
  handle: StreamHandler<unknown, unknown>,
  report: Report,
): handleServerStreamingCall<unknown, unknown> {
  return (stream: ServerWritableStream<unknown, unknown>) => {
    const call = new Call(stream);
    const fail = (error: unknown) =>
      stream.emit(
        'error',
        errorResponse(error, (cause) => tell(report, method, call, cause)),
      );
    pour(handle, stream, call).then(() => stream.end(), fail);
  };
}

async function pour(handle: StreamHandler<unknown, unknown>, stream: ServerWritableStream<unknown, unknown>, call: Call): Promise<void> {
  if (stream.request instanceof Unreadable) throw new RefusalError(stream.request.refusal);
  for await (const message of handle(stream.request, call)) {
    if (call.signal.aborted) return;
    await written(stream, message, call.signal);
  }
}

/**
 * Waits until the transport has taken the message, or the call is over: after a cancel the transport calls nobody back. One
 * message on its way at a time, rather than the stream's own sixteen, is all that a reader who has stopped can hold here.
 */
function written(stream: ServerWritableStream<unknown, unknown>, message: unknown, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
    stream.write(message, done);
  });
}

/** A call that is over rejects what still waits for it: no defect. */
function tell(report: Report, method: string, call: Call, cause: unknown): void {
  const isAbort = cause instanceof Error && cause.name === 'AbortError';
  if (!(isAbort && call.isCancelled)) report(cause, method);
}

/** The answer, or its refusal on the way to the client. */
export function accepted<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new RefusalError(result.refusal);
}
