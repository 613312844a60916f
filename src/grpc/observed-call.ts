/** Lets others watch the calls. grpc-js hands each call that reaches a method to this before it reads anything of it. */
import { Metadata, ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor, status } from '@grpc/grpc-js';
import type { ObservedRpc, RpcMethod, RpcObservation, RpcObserver, RpcType } from '../ops/rpc-observer.ts';
import { FailureTrailer } from './status.ts';

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0];
type Ending = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];
type Definition = Parameters<ServerInterceptor>[0];

/** Of a call that succeeds, or that the transport ends. */
const NO_FAILURE = { reason: null, cause: null };

export function watching(observer: RpcObserver): ServerInterceptor {
  /** As many as there are methods. */
  const methods = new Map<string, RpcMethod>();
  return (definition, call) => {
    let rpc = methods.get(definition.path);
    if (rpc === undefined) methods.set(definition.path, (rpc = rpcOf(definition)));
    return new ObservedCall(rpc, call, observer);
  };
}

function rpcOf({ path, requestStream, responseStream }: Definition): RpcMethod {
  const [, service = '', method = ''] = path.split('/');
  return { path, service, method, type: typeOf(requestStream, responseStream) };
}

function typeOf(requestStream: boolean, responseStream: boolean): RpcType {
  if (requestStream) return responseStream ? 'bidi_stream' : 'client_stream';
  return responseStream ? 'server_stream' : 'unary';
}

/**
 * Passes everything on, and tells how it ends. What grpc-js ends by itself (a deadline, a message too large, or one that it cannot
 * unpack) it tells the innermost call alone: hence that one's `sendStatus` is listened to, and not only ours.
 */
class ObservedCall extends ServerInterceptingCall {
  readonly #rpc: RpcMethod;
  readonly #call: ServerInterceptingCallInterface;
  readonly #observer: RpcObserver;
  #observation: RpcObservation | null = null;

  constructor(rpc: RpcMethod, call: ServerInterceptingCallInterface, observer: RpcObserver) {
    super(call);
    this.#rpc = rpc;
    this.#call = call;
    this.#observer = observer;
    const send = call.sendStatus.bind(call);
    call.sendStatus = (ending) => send(this.#onStatus(ending));
  }

  override start(listener: Listener): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        this.#observation = this.#observer.begin(new CallWithMetadata(this.#rpc, this.#call, metadata));
        this.#within(() => listener.onReceiveMetadata(metadata));
      },
      onReceiveMessage: (message) => {
        this.#observation?.onMessage?.('received');
        this.#within(() => listener.onReceiveMessage(message));
      },
      onReceiveHalfClose: () => this.#within(() => listener.onReceiveHalfClose()),
      onCancel: () => {
        this.#end({ code: status.CANCELLED });
        this.#within(() => listener.onCancel());
      },
    });
  }

  override sendMetadata(metadata: Metadata): void {
    this.#call.sendMetadata(metadata);
  }

  override sendMessage(message: unknown, callback: () => void): void {
    this.#observation?.onMessage?.('sent');
    this.#call.sendMessage(message, callback);
  }

  override sendStatus(ending: Ending): void {
    this.#call.sendStatus(ending);
  }

  #onStatus(ending: Ending): Ending {
    const told = this.#end(ending);
    if (told === undefined) return ending;
    const metadata = ending.metadata ?? new Metadata();
    for (const [name, value] of Object.entries(told)) metadata.set(name, value);
    return { ...ending, metadata };
  }

  /** A call has one end: what comes after it, as a cancel behind each status, tells nothing. */
  #end({ code, metadata }: Pick<Ending, 'code' | 'metadata'>): Readonly<Record<string, string>> | undefined {
    const observation = this.#observation;
    if (observation === null) return undefined;
    this.#observation = null;
    const number = code ?? status.UNKNOWN;
    const { reason, cause } = metadata instanceof FailureTrailer ? metadata : NO_FAILURE;
    return observation.end({ code: number, status: status[number] ?? 'UNKNOWN', reason, cause });
  }

  #within(work: () => void): void {
    const observation = this.#observation;
    if (observation?.run === undefined) work();
    else observation.run(work);
  }
}

class CallWithMetadata implements ObservedRpc {
  readonly rpc: RpcMethod;
  readonly #call: ServerInterceptingCallInterface;
  readonly #metadata: Metadata;

  constructor(rpc: RpcMethod, call: ServerInterceptingCallInterface, metadata: Metadata) {
    this.rpc = rpc;
    this.#call = call;
    this.#metadata = metadata;
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  header(name: string): string | null {
    const [value] = this.#metadata.get(name);
    return typeof value === 'string' ? value : null;
  }
}
