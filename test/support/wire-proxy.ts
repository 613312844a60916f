import { connect, createServer, type Socket } from 'node:net';
import { asksForEncryption, type Message, MessageStream, Transcript } from './wire-protocol.ts';

export interface WireProxy {
  /** The same database, by way of the proxy. */
  readonly url: string;
  /** Takes connections and bytes, and passes nothing on, either way. */
  swallow(): void;
  /** Passes on, also what was swallowed. */
  resume(): void;
  /**
   * As `swallow`, for good and only those connections: the open ones, and those that come until it is called again. Neither end
   * learns of it.
   */
  silence(which: Choice): void;
  /** How many connections have been silenced. */
  silenced(): number;
  /**
   * The next transaction with such a statement (its text, and behind it its parameters) commits, and its answer is lost: the
   * connection is cut instead, or says nothing any more. Each call loses one; resolves when it has.
   */
  loseAnswer(lost: { readonly to: RegExp; readonly instead: 'cut' | 'silence' }): Promise<void>;
  /** Cuts what passes through it. */
  close(): Promise<void>;
}

type Choice = (connection: Pick<Transcript, 'listens'>) => boolean;

interface Loss {
  readonly to: RegExp;
  readonly instead: 'cut' | 'silence';
  readonly done: () => void;
}

/** What is to happen to connections that are not there yet. */
interface Orders {
  readonly losses: Set<Loss>;
  silences: Choice;
  silenced: number;
}

/** Stands before a Postgres, and loses what it is told to lose. */
export async function startWireProxy(databaseUrl: string): Promise<WireProxy> {
  const target = new URL(databaseUrl);
  const open = new Set<Connection>();
  const orders: Orders = { losses: new Set(), silences: () => false, silenced: 0 };
  let swallows = false;
  const server = createServer((client) => {
    const connection = new Connection(client, connect(Number(target.port), target.hostname), orders);
    open.add(connection);
    client.once('close', () => open.delete(connection));
    if (swallows) connection.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const url = new URL(databaseUrl);
  url.port = String(address.port);
  return {
    url: url.href,
    swallow: () => {
      swallows = true;
      for (const connection of open) connection.pause();
    },
    resume: () => {
      swallows = false;
      for (const connection of open) connection.resume();
    },
    silence: (which) => {
      orders.silences = which;
      for (const connection of open) connection.silenceIfChosen();
    },
    silenced: () => orders.silenced,
    loseAnswer: ({ to, instead }) => new Promise((resolve) => orders.losses.add({ to, instead, done: resolve })),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of open) connection.cut();
      await closed;
    },
  };
}

/** One client and its session. Nothing is held back for a slow reader: what passes here in a test is small. */
class Connection {
  readonly #transcript = new Transcript();
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #orders: Orders;
  /** The answer so far to what may be lost. */
  #held: Buffer[] = [];
  #silent = false;

  constructor(client: Socket, upstream: Socket, orders: Orders) {
    this.#client = client;
    this.#upstream = upstream;
    this.#orders = orders;
    const [fromClient, fromServer] = [new MessageStream('client'), new MessageStream('server')];
    // Many small messages pass here: Nagle's algorithm would hold each up for a delayed acknowledgement.
    for (const socket of [client, upstream]) socket.setNoDelay(true);
    client.on('data', (bytes: Buffer) => fromClient.push(bytes).forEach((message) => this.#ofClient(message)));
    upstream.on('data', (bytes: Buffer) => fromServer.push(bytes).forEach((message) => this.#ofServer(message)));
    // An orderly end here is one there, and a failure a failure: the driver tells one from the other.
    client.on('end', () => upstream.end()).on('error', () => upstream.resetAndDestroy());
    upstream.on('end', () => client.end()).on('error', () => client.resetAndDestroy());
  }

  pause(): void {
    this.#client.pause();
    this.#upstream.pause();
  }

  resume(): void {
    if (this.#silent) return;
    this.#client.resume();
    this.#upstream.resume();
  }

  silenceIfChosen(): void {
    if (!this.#silent && this.#orders.silences(this.#transcript)) this.#silence();
  }

  cut(): void {
    this.#client.resetAndDestroy();
    this.#upstream.destroy();
  }

  #silence(): void {
    this.#silent = true;
    this.#orders.silenced += 1;
    this.pause();
  }

  #ofClient(message: Message): void {
    if (this.#silent) return;
    // As a Postgres without TLS answers; passed on, the answer would be the one byte that is no message.
    if (asksForEncryption(message)) this.#client.write('N');
    else {
      this.#transcript.ofClient(message);
      this.silenceIfChosen();
      if (!this.#silent) this.#upstream.write(message.bytes);
    }
  }

  #ofServer(message: Message): void {
    if (this.#silent) return;
    const loss = [...this.#orders.losses].find(({ to }) => this.#transcript.ran(to));
    const end = this.#transcript.ofServer(message);
    if (loss === undefined) this.#client.write(message.bytes);
    else {
      this.#held.push(message.bytes);
      if (end === 'committed') this.#lose(loss);
      else if (message.type === 'Z') this.#release();
    }
  }

  #lose(loss: Loss): void {
    this.#orders.losses.delete(loss);
    this.#held = [];
    if (loss.instead === 'cut') this.cut();
    else this.#silence();
    loss.done();
  }

  #release(): void {
    this.#client.write(Buffer.concat(this.#held));
    this.#held = [];
  }
}
