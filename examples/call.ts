import { setTimeout as pause } from 'node:timers/promises';
import { type CallOptions, type ClientUnaryCall, Metadata, type ServiceError, status } from '@grpc/grpc-js';

/** A unary method of a generated client, bound to it. */
export type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

export interface CallBounds {
  /** How long one try may take. Default 10 s. */
  readonly deadlineMs?: number;
  /** Ends the call early. */
  readonly signal?: AbortSignal;
  /** How long `callUntilAnswered` begins new tries. Default 60 s: longer than a restart of the service takes. */
  readonly giveUpAfterMs?: number;
}

/** One unary call as a promise. A call without a deadline could wait for ever, so there is always one. */
export function call<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  { deadlineMs = 10_000, signal }: CallBounds = {},
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const cancel = () => pending.cancel();
    const pending = method(request, new Metadata(), { deadline: Date.now() + deadlineMs }, (error, response) => {
      signal?.removeEventListener('abort', cancel);
      if (error === null) resolve(response);
      else reject(error);
    });
    if (signal?.aborted === true) cancel();
    else signal?.addEventListener('abort', cancel, { once: true });
  });
}

const firstPauseMs = 50;
const longestPauseMs = 2_000;

/**
 * Like `call`, and again while the service is away or full. Only for calls that are safe to repeat: reads, and mutations
 * with a key, an id or a token.
 */
export async function callUntilAnswered<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  bounds: CallBounds = {},
): Promise<Response> {
  const { signal, giveUpAfterMs = 60_000 } = bounds;
  const startedAt = performance.now();
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      return await call(method, request, bounds);
    } catch (error) {
      if (!isPassing(error) || performance.now() - startedAt > giveUpAfterMs) throw error;
    }
    await pause(pauseMs, undefined, signal === undefined ? {} : { signal });
  }
}

/** Whether the same call may well succeed in a moment. */
export function isPassing(error: unknown): boolean {
  const code = statusOf(error);
  return code === status.UNAVAILABLE || code === status.RESOURCE_EXHAUSTED || code === status.DEADLINE_EXCEEDED;
}

/** The gRPC status code of what a call threw; null for anything else. */
export function statusOf(error: unknown): number | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : null;
}
