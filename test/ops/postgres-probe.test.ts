import { createServer, type Socket } from 'node:net';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { probePostgres } from '../../src/ops/postgres-probe.ts';

/** A server of another kind. */
async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  const server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  return `postgres://u:p@127.0.0.1:${typeof address === 'object' ? address?.port : 0}/d`;
}

describe('the question whether a Postgres listens', () => {
  it('is answered by one', async () => {
    await probePostgres(inject('postgresUrl'));
  });

  it('is not answered by a server that hangs up', async () => {
    const url = await listen((socket) => socket.end());
    await expect(probePostgres(url)).rejects.toMatchObject({ code: 'NOT_POSTGRES' });
  });

  it('is not answered by a server that talks of something else', async () => {
    const url = await listen((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await expect(probePostgres(url)).rejects.toMatchObject({ code: 'NOT_POSTGRES' });
  });

  it('is not answered where nothing listens', async () => {
    await expect(probePostgres('postgres://u:p@127.0.0.1:1/d')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
