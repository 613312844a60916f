import { connect, createServer, type Server, type Socket } from 'node:net';

/** A way to a replica that can be broken: what is on it by then is lost, and both ends are told by a reset. */
export class Road {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #carried = new Set<() => void>();
  #isBroken = false;

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      if (this.#isBroken) return void client.resetAndDestroy();
      const upstream = connect(Number(target.port), target.hostname);
      for (const [socket, other] of [[client, upstream] as const, [upstream, client] as const]) {
        this.#open.add(socket);
        socket.setNoDelay(true);
        socket.on('data', (bytes) => void other.write(bytes));
        if (socket === client) socket.on('data', () => this.#tellCarried());
        socket.on('end', () => void other.end());
        socket.on('error', () => void other.resetAndDestroy());
        socket.on('close', () => this.#open.delete(socket));
      }
    });
  }

  static async to(replica: string): Promise<Road> {
    const road = new Road(new URL(`http://${replica}`));
    await new Promise<void>((resolve) => road.#server.listen(0, '127.0.0.1', resolve));
    return road;
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the road has no port');
    return `127.0.0.1:${address.port}`;
  }

  /** Resolves when the next that the client says is on its way to the replica. */
  carried(): Promise<void> {
    return new Promise((resolve) => this.#carried.add(resolve));
  }

  /** Also for whoever comes after. */
  break(): void {
    this.#isBroken = true;
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  close(): void {
    this.#server.close();
    this.break();
  }

  #tellCarried(): void {
    for (const resolve of this.#carried) resolve();
    this.#carried.clear();
  }
}
