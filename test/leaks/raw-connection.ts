import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';

type Takes = 'answers' | 'nothing' | 'little';

/** Of each answer: more than a word, less than a job. */
const LITTLE_BYTES = 1_024;

/** A connection of a client that keeps no manners: what a gRPC library would never do to a server can be done with it. */
export class RawConnection {
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  readonly #closed: Promise<unknown>;

  private constructor(address: string, takes: Takes) {
    const { hostname, port } = new URL(`http://${address}`);
    this.#socket = connectSocket({ host: hostname, port: Number(port), noDelay: true });
    const settings = takes === 'answers' ? {} : { initialWindowSize: takes === 'nothing' ? 0 : LITTLE_BYTES };
    this.#session = connect(`http://${address}`, { createConnection: () => this.#socket, settings });
    // Whoever breaks off is told so by errors, on each stream and on the connection.
    this.#session.on('error', () => undefined);
    this.#closed = once(this.#socket, 'close');
  }

  /** One that takes nothing has an answer's head, and leaves the first byte of its body with the service; one that takes little, what is longer. */
  static async open(address: string, takes: Takes = 'answers'): Promise<RawConnection> {
    const connection = new RawConnection(address, takes);
    await once(connection.#session, 'connect');
    return connection;
  }

  /** The head of a call. The body is the caller's to write, as far as it likes. */
  begin(path: string): ClientHttp2Stream {
    const stream = this.#session.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
      { endStream: false },
    );
    stream.on('error', () => undefined);
    return stream;
  }

  /** A whole request; nobody reads the answer unless the caller does. One that stays open may be followed by another. */
  send(path: string, frame: Buffer, staysOpen = false): ClientHttp2Stream {
    const stream = this.begin(path);
    stream.write(frame);
    if (!staysOpen) stream.end();
    return stream;
  }

  /** Resolves once the server has read everything that was sent here before. */
  async heard(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#session.ping((error) => (error === null ? resolve() : reject(error)));
    });
  }

  /** The network's own end of it: RST, and whatever was on its way is lost. */
  async reset(): Promise<void> {
    this.#socket.resetAndDestroy();
    await this.#closed;
  }

  /** FIN in the middle of everything. */
  async hangUp(): Promise<void> {
    this.#session.destroy();
    this.#socket.destroy();
    await this.#closed;
  }
}

/** RST_STREAM with the code that a gRPC client cancels with. */
export function cancel(stream: ClientHttp2Stream): void {
  stream.close(constants.NGHTTP2_CANCEL);
}
