import { createServer } from 'node:net';

export const loopback = '127.0.0.1';

/** A port that was free a moment ago; whoever takes it in between makes Postgres fail, and the start tries another. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, loopback, () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('a TCP listener has no port'));
        else resolve(address.port);
      });
    });
  });
}
