/**
 * The life of a client's connection. grpc-js serves it; here it is accepted, grows old, and is ended: first told to be used for nothing more
 * (GOAWAY, so that the client's library dials anew), then its streams end with what their clients need to come back, and what is left
 * after the grace is cut. See ADR 29.
 */
import type { Socket } from 'node:net';
import { type ConnectionInjector, type Server, ServerCredentials } from '@grpc/grpc-js';
import type { Ending } from '../engine/ending.ts';
import { expectCrowd } from '../engine/wait.ts';
import type { Carrier, Carriers } from './call.ts';

/** Connections that were opened together must not all be dialled anew together. */
const JITTER = 0.1;
/** grpc-js would tell what it cuts CANCELLED, which nobody tries again; ours comes first, and is a lost connection: UNAVAILABLE. */
const BEHIND_OURS_MS = 5_000;
/** For a client that is cut to close its side. */
const HALF_CLOSED_MS = 1_000;

export interface ConnectionLife {
  /** Within a tenth of it a connection is ended. Null: it may grow as old as it likes. */
  readonly ageMs: number | null;
  /** From then on its calls may take so long. */
  readonly graceMs: number;
}

export interface ConnectionsParts {
  readonly server: Server;
  readonly life: ConnectionLife;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A connection is being ended. */
  readonly onEnding: (peer: string) => void;
}

export class Connections implements Carriers {
  readonly #parts: ConnectionsParts;
  readonly #open = new Map<string, Connection>();

  constructor(parts: ConnectionsParts) {
    this.#parts = parts;
  }

  accept(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined) {
      // Gone before it was taken.
      socket.destroy();
      return;
    }
    // As grpc-js tells it of a call.
    const peer = `${remoteAddress}:${remotePort}`;
    const connection = new Connection(socket, peer, this.#parts);
    this.#open.set(peer, connection);
    // The address may have been taken again before this one is told to be closed.
    void connection.closed.then(() => this.#open.get(peer) === connection && this.#open.delete(peer));
  }

  /** Undefined once it is closed. */
  of(peer: string): Carrier | undefined {
    return this.#open.get(peer);
  }

  /** Those that are there; whoever cuts them does so after the grace, in milliseconds. Resolves once all are closed. */
  async end(reason: Ending, graceMs: number): Promise<void> {
    const connections = [...this.#open.values()];
    for (const connection of connections) connection.end(reason, graceMs);
    await Promise.all(connections.map(({ closed }) => closed));
  }

  /** Whatever they carry. Resolves once all are closed, a moment later. */
  async cut(): Promise<void> {
    await Promise.all([...this.#open.values()].map(async (connection) => await connection.cut()));
  }
}

class Connection implements Carrier {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #peer: string;
  readonly #parts: ConnectionsParts;
  /** One for each: grpc-js ends all that came through one. */
  readonly #injector: ConnectionInjector;
  readonly #ending = new AbortController();
  readonly #endsAt: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, peer: string, parts: ConnectionsParts) {
    [this.#socket, this.#peer, this.#parts] = [socket, peer, parts];
    // As many listeners as it has streams.
    expectCrowd(this.#ending.signal);
    const { ageMs } = parts.life;
    const afterMs = ageMs === null ? Infinity : ageMs * (1 + JITTER * (2 * parts.random() - 1));
    this.#endsAt = performance.now() + afterMs;
    // One timer for all of its streams.
    if (ageMs !== null) this.#timer = setTimeout(() => this.#grownOld(), afterMs).unref();
    this.#injector = parts.server.createConnectionInjector(ServerCredentials.createInsecure());
    this.closed = new Promise<void>((resolve) => {
      socket.once('close', () => resolve(this.#forget()));
    });
    this.#injector.injectConnection(socket);
  }

  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  remainingMs(): number {
    return this.#endsAt + this.#parts.life.graceMs - performance.now();
  }

  /** Once: the first reason is the one that is told. */
  end(reason: Ending, graceMs: number): void {
    if (this.ending.aborted) return;
    // GOAWAY first: a stream that ends before it is opened again right here.
    this.#injector.drain(graceMs + BEHIND_OURS_MS);
    this.#ending.abort(reason);
    this.#parts.onEnding(this.#peer);
  }

  /**
   * By a half-close first. A socket that is destroyed while bytes lie unread is reset by the system, and a reset behind a GOAWAY is a defect
   * to some libraries, grpc-js among them.
   */
  async cut(): Promise<void> {
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), HALF_CLOSED_MS);
    await this.closed;
    clearTimeout(timer);
  }

  #grownOld(): void {
    const { graceMs } = this.#parts.life;
    this.end('connection_age', graceMs);
    this.#timer = setTimeout(() => void this.cut(), graceMs).unref();
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#injector.destroy();
  }
}
