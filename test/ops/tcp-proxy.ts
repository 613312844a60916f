import { connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface TcpProxy {
  /** The same database, by way of the proxy. */
  readonly url: string;
  /** Takes connections and bytes, and passes nothing on, either way. */
  swallow(): void;
  /** Passes on, also what was swallowed. */
  resume(): void;
}

/** Stands before a database until the test ends. */
export async function startTcpProxy(databaseUrl: string): Promise<TcpProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let swallows = false;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    [client, upstream].forEach(keep);
    client.pipe(upstream).pipe(client);
    if (swallows) for (const socket of [client, upstream]) hold(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const url = new URL(databaseUrl);
  url.port = String(address.port);
  return {
    url: url.href,
    swallow: () => {
      swallows = true;
      sockets.forEach(hold);
    },
    resume: () => {
      swallows = false;
      sockets.forEach((socket) => socket.uncork());
    },
  };
}

/** What is written to it stays here. */
function hold(socket: Socket): void {
  socket.cork();
}
