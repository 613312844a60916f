import { describe, expect, it, onTestFinished } from 'vitest';
import { type Page, startAdminServer } from '../../src/ops/admin-server.ts';

async function start(
  isReady: () => boolean,
  metrics?: () => Promise<Page>,
): Promise<(path: string, method?: string) => Promise<{ status: number; text: string }>> {
  const server = await startAdminServer({ host: '127.0.0.1', port: 0, isReady, metrics });
  onTestFinished(async () => await server.stop());
  return async (path, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.address.port}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };
}

describe('the admin server', () => {
  it('is alive whatever the database does', async () => {
    const ask = await start(() => false);
    expect(await ask('/livez')).toEqual({ status: 200, text: 'ok\n' });
  });

  it('asks anew whether the service is ready', async () => {
    let ready = false;
    const ask = await start(() => ready);
    expect((await ask('/readyz')).status).toBe(503);
    ready = true;
    expect((await ask('/readyz?verbose=1')).status).toBe(200);
  });

  it('knows nothing else', async () => {
    const ask = await start(() => true);
    expect((await ask('/')).status).toBe(404);
    expect((await ask('/livez/')).status).toBe(404);
    expect((await ask('/livez', 'POST')).status).toBe(405);
    expect(await ask('/livez', 'HEAD')).toEqual({ status: 200, text: '' });
  });

  it('serves metrics as what they are, where there are any', async () => {
    const page = { contentType: 'text/plain; version=0.0.4', text: 'up 1\n' };
    const server = await startAdminServer({ host: '127.0.0.1', port: 0, isReady: () => false, metrics: async () => page });
    onTestFinished(async () => await server.stop());
    const response = await fetch(`http://127.0.0.1:${server.address.port}/metrics?x=1`);
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([200, page.contentType, 'up 1\n']);
    const ask = await start(
      () => true,
      async () => page,
    );
    expect(await ask('/metrics', 'HEAD')).toEqual({ status: 200, text: '' });
    expect((await ask('/metrics', 'POST')).status).toBe(405);
    expect(await ask('/nothing')).toEqual({ status: 404, text: 'there are /livez, /readyz and /metrics\n' });
    expect((await (await start(() => true))('/metrics')).status).toBe(404);
  });

  it('answers 500 where a page cannot be made, and goes on', async () => {
    const ask = await start(
      () => true,
      async () => Promise.reject(new Error('no')),
    );
    expect(await ask('/metrics')).toEqual({ status: 500, text: 'the page could not be made\n' });
    expect((await ask('/readyz')).status).toBe(200);
  });

  it('says that its port is taken', async () => {
    const first = await startAdminServer({ host: '127.0.0.1', port: 0, isReady: () => true });
    onTestFinished(async () => await first.stop());
    const second = startAdminServer({ host: '127.0.0.1', port: first.address.port, isReady: () => true });
    await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('stops although a client keeps its connection', async () => {
    const server = await startAdminServer({ host: '127.0.0.1', port: 0, isReady: () => true });
    await (await fetch(`http://127.0.0.1:${server.address.port}/livez`)).text();
    await server.stop();
    await expect(fetch(`http://127.0.0.1:${server.address.port}/livez`)).rejects.toThrow();
  });
});
