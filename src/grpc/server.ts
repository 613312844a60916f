import { Server, type ServerOptions } from '@grpc/grpc-js';
import { LIMITS } from '../domain/limits.ts';
import type { Health } from '../ops/health.ts';
import type { RpcObserver } from '../ops/rpc-observer.ts';
import type { Carriers } from './call.ts';
import { type ConnectionLife, Connections } from './connections.ts';
import { Listener, type ListenOptions } from './listener.ts';
import { watching } from './observed-call.ts';
import { TRANSPORT_REQUEST_BYTES } from './received.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** Positional answers may pass the response bound by what every item must tell at least. */
const MAX_SEND_BYTES = 4 * LIMITS.responseBytes;

/**
 * Finds a peer that vanished without a word within about a minute, so that its parked claims and streams end. More often than the
 * balancers and firewalls in between forget a silent connection.
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

/** Of age nothing here: grpc-js cuts what it finds too old, without the word that streams are promised. See `connections.ts`. */
const OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': TRANSPORT_REQUEST_BYTES,
  'grpc.max_send_message_length': MAX_SEND_BYTES,
  'grpc.max_concurrent_streams': LIMITS.streamsPerConnection,
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
  'grpc-node.max_session_memory': SESSION_MEMORY_MIB,
  // It counts each call and message for a service that is not served. Without it `forceShutdown` cuts no connection: ours are cut by `Connections`.
  'grpc.enable_channelz': 0,
};

const NEVER_OLD: ConnectionLife = { ageMs: null, graceMs: MINUTE_MS };

export interface StopOptions {
  /** Answers what is parked. Streams know by their connection that they are to end. */
  readonly answerParked: () => Promise<void>;
  /** How long calls may take to end by themselves, from the beginning of the stop. */
  readonly graceMs: number;
}

/** A gRPC server with every bound set. Put services on `server`, then `listen`. */
export class GrpcServer {
  readonly server: Server;
  readonly #health: Health;
  readonly #connections: Connections;
  readonly #listener: Listener;

  /** Without an observer nobody watches the calls. */
  constructor(health: Health, life: ConnectionLife = NEVER_OLD, observer: RpcObserver | null = null) {
    this.#health = health;
    this.server = new Server(observer === null ? OPTIONS : { ...OPTIONS, interceptors: [watching(observer)] });
    health.addTo(this.server);
    const onEnding = (ending: string) => health.endWatches((peer) => peer === ending);
    this.#connections = new Connections({ server: this.server, life, random: Math.random, onEnding });
    this.#listener = new Listener((socket) => this.#connections.accept(socket));
  }

  /** What its calls come over. */
  get carriers(): Carriers {
    return this.#connections;
  }

  /** Returns the port. Throws a `ListenError`. Says SERVING only to whoever asks after this. */
  async listen(options: ListenOptions): Promise<number> {
    const port = await this.#listener.listen(options);
    this.#health.setServing(true);
    return port;
  }

  /**
   * Tells the probes first; lets nobody in; has every connection carry nothing new and end its streams, while what is parked is answered;
   * cuts what is left after the grace.
   */
  async stop({ answerParked, graceMs }: StopOptions): Promise<void> {
    this.#health.setServing(false);
    this.#listener.close();
    let cut: NodeJS.Timeout | undefined;
    const cutOff = new Promise<void>((resolve) => {
      cut = setTimeout(resolve, graceMs);
    });
    try {
      await Promise.race([Promise.all([this.#connections.end('shutting_down', graceMs), answerParked()]), cutOff]);
    } finally {
      clearTimeout(cut);
      await this.#connections.cut();
      this.server.forceShutdown();
    }
  }
}
