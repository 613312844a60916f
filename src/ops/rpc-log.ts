/** Tells the log of calls that were refused or failed: one line each, of many alike the first, and then how many there were. */
import { randomUUID } from 'node:crypto';
import type { Logger } from './logging.ts';
import type { ObservedRpc, RpcEnd, RpcObservation, RpcObserver } from './rpc-observer.ts';

/** What a client may call its request by; past the length it is cut. */
const REQUEST_ID = 'x-request-id';
const REQUEST_ID_LENGTH = 128;

/** Lines of one kind, by method, code and reason, within the interval; the others are counted. */
const LINES_EACH = 10;
const INTERVAL_MS = 60_000;

type Level = 'debug' | 'info' | 'warn' | 'error';

/**
 * What is for somebody to mend here is an error; what the service could not do for the moment, a warning; what the client did wrong or asked in
 * vain, information. That a client goes away, or has waited long enough, is how long polls and streams end.
 */
function levelOf({ status, reason, cause }: RpcEnd): Level {
  if (cause !== null) return 'error';
  switch (status) {
    case 'CANCELLED':
    case 'DEADLINE_EXCEEDED':
      return 'debug';
    case 'UNAVAILABLE':
      // What a client that tries again does not notice: a replica that stops, a connection that is renewed.
      return reason === 'SHUTTING_DOWN' || reason === 'CONNECTION_AGE' ? 'info' : 'warn';
    case 'RESOURCE_EXHAUSTED':
      return reason === 'OVERLOADED' ? 'warn' : 'info';
    // Of a defect there is a cause: this is what the transport makes of what it cannot unpack.
    default:
      return 'info';
  }
}

/** Lines of a kind within the present interval. */
interface Told {
  readonly level: Level;
  readonly fields: { readonly method: string; readonly code: string; readonly reason: string | null };
  count: number;
}

export class RpcLog implements RpcObserver {
  readonly #logger: Logger;
  /** As many kinds as methods can end in. */
  readonly #told = new Map<string, Told>();
  readonly #timer: NodeJS.Timeout;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.#timer = setInterval(() => this.#sumUp(), INTERVAL_MS).unref();
  }

  begin(call: ObservedRpc): RpcObservation {
    return new Logged(call, this);
  }

  /** Tells what is not told yet. */
  stop(): void {
    clearInterval(this.#timer);
    this.#sumUp();
  }

  tell(call: ObservedRpc, end: RpcEnd, about: { readonly requestId: string; readonly durationMs: number }): void {
    const level = levelOf(end);
    if (!this.#logger.isLevelEnabled(level) || !this.#isAmongFirst(call, end, level)) return;
    const { status: code, reason, cause } = end;
    const fields = { method: call.rpc.path, code, reason, ...about, peer: call.peer };
    if (cause === null) this.#logger[level](fields, 'a call was refused');
    else this.#logger[level]({ ...fields, err: cause }, 'a call failed');
  }

  #isAmongFirst({ rpc }: ObservedRpc, { status: code, reason }: RpcEnd, level: Level): boolean {
    const key = `${rpc.path} ${code} ${reason}`;
    const told = this.#told.get(key) ?? { level, fields: { method: rpc.path, code, reason }, count: 0 };
    told.count += 1;
    this.#told.set(key, told);
    return told.count <= LINES_EACH;
  }

  #sumUp(): void {
    for (const { level, fields, count } of this.#told.values()) {
      const leftOut = count - LINES_EACH;
      if (leftOut > 0)
        this.#logger[level]({ ...fields, leftOut, withinMs: INTERVAL_MS }, 'more calls ended alike, and were not told one by one');
    }
    this.#told.clear();
  }
}

class Logged implements RpcObservation {
  readonly #call: ObservedRpc;
  readonly #log: RpcLog;
  readonly #begunAt = performance.now();

  constructor(call: ObservedRpc, log: RpcLog) {
    this.#call = call;
    this.#log = log;
  }

  /** A client that names its request is told so; one that does not, where there is something to ask about. */
  end(end: RpcEnd): Readonly<Record<string, string>> | undefined {
    const given = requestIdOf(this.#call.header(REQUEST_ID));
    if (end.code === 0) return given === null ? undefined : { [REQUEST_ID]: given };
    const requestId = given ?? randomUUID();
    this.#log.tell(this.#call, end, { requestId, durationMs: Math.round(performance.now() - this.#begunAt) });
    return { [REQUEST_ID]: requestId };
  }
}

/** As it was given, but that it can neither break a line nor fill a disk. */
function requestIdOf(given: string | null): string | null {
  if (given === null || given === '') return null;
  return given.slice(0, REQUEST_ID_LENGTH).replace(/[^\x21-\x7e]/g, '_');
}
