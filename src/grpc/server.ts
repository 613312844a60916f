import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js';
import { LIMITS } from '../domain/limits.ts';
import type { Health } from '../ops/health.ts';
import type { RpcObserver } from '../ops/rpc-observer.ts';
import { watching } from './observed-call.ts';
import { TRANSPORT_REQUEST_BYTES } from './received.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** Positional answers may pass the response bound by what every item must tell at least. */
const MAX_SEND_BYTES = 4 * LIMITS.responseBytes;

/**
 * Finds a peer that vanished without a word within about a minute, so that its parked claims and streams end. That is why
 * connections have no greatest age: past it grpc-js cuts the streams that are open, without the `reconnect` that they are
 * promised.
 */
const KEEPALIVE_MS = 45 * SECOND_MS;
const KEEPALIVE_TIMEOUT_MS = 15 * SECOND_MS;

/** A connection that nobody uses holds memory for nothing. */
const CONNECTION_IDLE_MS = 30 * MINUTE_MS;

/**
 * What one connection may hold in MiB, as Node counts: a stopped reader's queued frames above all. Dozens of full claim answers
 * at once must fit. Floods of pings need no bound of ours: nghttp2 ends a session with 1,000 unsent answers.
 */
const SESSION_MEMORY_MIB = 256;

const OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': TRANSPORT_REQUEST_BYTES,
  'grpc.max_send_message_length': MAX_SEND_BYTES,
  'grpc.max_concurrent_streams': LIMITS.streamsPerConnection,
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
  'grpc-node.max_session_memory': SESSION_MEMORY_MIB,
};

export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface StopOptions {
  /** Answers what is parked and ends the streams with what their clients need to come back. */
  readonly answerParked: () => Promise<void>;
  /** How long calls may take to end by themselves, from the beginning of the stop. */
  readonly graceMs: number;
}

/** The address cannot be had. The message is one line that says what and how to mend it. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** A gRPC server with every bound set. Put services on `server`, then `listen`. */
export class GrpcServer {
  readonly server: Server;
  readonly #health: Health;

  /** Without an observer nobody watches the calls. */
  constructor(health: Health, observer: RpcObserver | null = null) {
    this.#health = health;
    this.server = new Server(observer === null ? OPTIONS : { ...OPTIONS, interceptors: [watching(observer)] });
    health.addTo(this.server);
  }

  /** Returns the port. Says SERVING only to whoever asks after this. */
  async listen({ host, port }: ListenOptions): Promise<number> {
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const bound = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync(address, ServerCredentials.createInsecure(), (error, boundPort) => {
        if (error === null) resolve(boundPort);
        else reject(listenError(address, error));
      });
    });
    this.#health.setServing(true);
    return bound;
  }

  /**
   * Tells the probes first, then lets every call end, then cuts what is left. `tryShutdown` alone would wait for open
   * streams for ever.
   */
  async stop({ answerParked, graceMs }: StopOptions): Promise<void> {
    this.#health.setServing(false);
    let cut: NodeJS.Timeout | undefined;
    const cutOff = new Promise<void>((resolve) => {
      cut = setTimeout(resolve, graceMs);
    });
    try {
      await Promise.race([this.#endCalls(answerParked), cutOff]);
    } finally {
      clearTimeout(cut);
      this.server.forceShutdown();
    }
  }

  async #endCalls(answerParked: () => Promise<void>): Promise<void> {
    const closed = new Promise<void>((resolve, reject) => {
      this.server.tryShutdown((error) => (error === undefined ? resolve() : reject(error)));
    });
    this.#health.endWatches();
    await Promise.all([answerParked(), closed]);
  }
}

/** grpc-js tells the cause in its text only. */
function listenError(address: string, { message }: Error): ListenError {
  if (message.includes('EADDRINUSE')) return new ListenError(`${address} is taken: stop what listens there, or choose another port`);
  if (message.includes('EACCES')) return new ListenError(`${address} needs rights that this user lacks: choose a port from 1024 on`);
  if (message.includes('EADDRNOTAVAIL')) return new ListenError(`${address} is no address of this machine: choose another host`);
  if (message.includes('ENOTFOUND') || message.includes('Name resolution'))
    return new ListenError(`${address} does not resolve: choose another host`);
  return new ListenError(`${address} cannot be listened on: ${message}`);
}
