import { lookup } from 'node:dns/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

/** The address cannot be had. The message is one line that says what and how to mend it. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** Of a name that has several addresses, those that this machine lacks are left out. */
const ABSENT = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];

/** Accepts connections at each address that a host name has. */
export class Listener {
  readonly #servers: Server[] = [];
  readonly #accept: (socket: Socket) => void;

  constructor(accept: (socket: Socket) => void) {
    this.#accept = accept;
  }

  /** Returns the port, the same at every address. Throws a `ListenError`. */
  async listen({ host, port }: ListenOptions): Promise<number> {
    let bound = port;
    let absent: unknown = null;
    try {
      for (const { address } of await lookup(host, { all: true })) {
        try {
          bound = await this.#listenAt(address, bound);
        } catch (error) {
          if (!ABSENT.includes(codeOf(error))) throw error;
          absent = error;
        }
      }
      if (this.#servers.length === 0) throw absent;
    } catch (error) {
      this.close();
      throw listenError(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, error);
    }
    return bound;
  }

  /** Nobody is let in any more; who is in stays. */
  close(): void {
    for (const server of this.#servers.splice(0)) server.close();
  }

  async #listenAt(host: string, port: number): Promise<number> {
    const server = createServer({ noDelay: true }, this.#accept);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, resolve);
    });
    this.#servers.push(server);
    return portOf(server.address());
  }
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function listenError(address: string, error: unknown): ListenError {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return new ListenError(`${address} is taken: stop what listens there, or choose another port`);
    case 'EACCES':
      return new ListenError(`${address} needs rights that this user lacks: choose a port from 1024 on`);
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return new ListenError(`${address} is no address of this machine: choose another host`);
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ListenError(`${address} does not resolve: choose another host`);
    default:
      return new ListenError(`${address} cannot be listened on: ${error instanceof Error ? error.message : String(error)}`);
  }
}
