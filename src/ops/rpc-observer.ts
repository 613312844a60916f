/** Who watches calls: metrics, logs, tracing. The wire's edge tells of every call that reaches a method, also of one that no handler sees. */

export type RpcType = 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';

/** What a call is of. */
export interface RpcMethod {
  /** `/stint.v1.JobService/Enqueue` */
  readonly path: string;
  /** `stint.v1.JobService` */
  readonly service: string;
  /** `Enqueue` */
  readonly method: string;
  readonly type: RpcType;
}

/** A call as it begins. */
export interface ObservedRpc {
  readonly rpc: RpcMethod;
  /** Where it comes from, as far as the transport knows. */
  readonly peer: string;
  /** The first value that the client sent under this name, which is in lower case and none of binary metadata; null where there is none. */
  header(name: string): string | null;
}

/** How a call ended. */
export interface RpcEnd {
  /** The number that gRPC gives it. */
  readonly code: number;
  /** Its name: `NOT_FOUND`. A call whose client has gone is `CANCELLED`. */
  readonly status: string;
  /** The name of the `ErrorReason`; null where the call succeeded, or ended by what the transport decides. */
  readonly reason: string | null;
  /** What nobody foresaw; null where the end is an answer or a refusal. Not to be told to the client, nor with its message to a log. */
  readonly cause: unknown;
}

/** One who watches a call. */
export interface RpcObservation {
  /** Whatever the handler does runs within it. Default: nothing around it. */
  run?<T>(work: () => T): T;
  /** A message has come in, or is on its way out. */
  onMessage?(direction: 'received' | 'sent'): void;
  /** Once. What it returns is told to the client in the trailing metadata. */
  end(end: RpcEnd): Readonly<Record<string, string>> | undefined;
}

export interface RpcObserver {
  /** Null: this one is not watched. */
  begin(call: ObservedRpc): RpcObservation | null;
}

/** All of them watch; the first of those who run the call is the outermost. */
export function everyRpcObserver(observers: readonly RpcObserver[]): RpcObserver {
  const [only] = observers;
  if (only !== undefined && observers.length === 1) return only;
  return {
    begin: (call) => {
      let watching: RpcObservation | null = null;
      for (const observer of observers) {
        const one = observer.begin(call);
        if (one !== null) watching = watching === null ? one : new Both(watching, one);
      }
      return watching;
    },
  };
}

class Both implements RpcObservation {
  readonly run?: <T>(work: () => T) => T;
  readonly #outer: RpcObservation;
  readonly #inner: RpcObservation;

  constructor(outer: RpcObservation, inner: RpcObservation) {
    [this.#outer, this.#inner] = [outer, inner];
    if (outer.run !== undefined || inner.run !== undefined) this.run = (work) => within(outer, () => within(inner, work));
  }

  onMessage(direction: 'received' | 'sent'): void {
    this.#outer.onMessage?.(direction);
    this.#inner.onMessage?.(direction);
  }

  end(end: RpcEnd): Readonly<Record<string, string>> | undefined {
    const [first, second] = [this.#outer.end(end), this.#inner.end(end)];
    return first === undefined || second === undefined ? (first ?? second) : { ...first, ...second };
  }
}

function within<T>(observation: RpcObservation, work: () => T): T {
  return observation.run === undefined ? work() : observation.run(work);
}
