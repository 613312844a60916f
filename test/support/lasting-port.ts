import { createServer } from 'node:net';
import { loopback } from '../../src/embedded/free-port.ts';

/** Below what Linux and macOS give to outgoing connections, above what well-known services take. */
const FIRST_PORT = 15_000;
const PORTS = 15_000;
const MAX_TRIES = 100;

/**
 * A free port on the loopback for a server that goes away and comes back. Out of the ephemeral range, because while
 * nobody listens there, a connection of anybody's may be given such a port as its own, even one to that very port.
 */
export async function findLastingPort(): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (await isFree(port)) return port;
  }
  throw new Error('no port is free');
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, loopback, () => server.close(() => resolve(true)));
  });
}
