import { Client, credentials, Server, ServerCredentials, status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Health } from '../../src/ops/health.ts';
import { deserializeProbe, NOT_SERVING, probeHealth, serializeProbe, SERVING } from '../support/health-probe.ts';

const serviceName = 'stint.v1.JobService';

describe('health', () => {
  let health: Health;
  let server: Server;
  let client: Client;

  beforeEach(async () => {
    health = new Health([serviceName]);
    server = new Server();
    health.addTo(server);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  });

  afterEach(() => {
    client.close();
    server.forceShutdown();
  });

  const check = async (service: string) => await probeHealth(client, service);

  it('is what it was set to, for each service and overall', async () => {
    expect(await check('')).toBe(NOT_SERVING);
    health.setServing(true);
    expect(await Promise.all([check(''), check(serviceName)])).toEqual([SERVING, SERVING]);
    health.setServiceServing(serviceName, false);
    expect(await Promise.all([check(''), check(serviceName)])).toEqual([SERVING, NOT_SERVING]);
  });

  it('of the process itself is good before, while and after everything else is', async () => {
    const seen: (number | string | undefined)[] = [];
    for (const serving of [false, true, false]) {
      health.setServing(serving);
      seen.push(await check('liveness'));
    }
    expect(seen).toEqual([SERVING, SERVING, SERVING]);
  });

  it('is not known of a service that is not there', async () => {
    expect(await check('stint.v1.Nothing')).toContain('unknown');
  });

  it('tells a watcher of changes, and lets it go before a stop', async () => {
    const seen: number[] = [];
    const stream = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', serializeProbe, deserializeProbe, '');
    const ended = new Promise<Code>((resolve) => stream.on('status', ({ code }) => resolve(code)));
    await new Promise<void>((resolve) => {
      stream.on('data', (status: number) => {
        seen.push(status);
        if (seen.length === 1) health.setServing(true);
        else resolve();
      });
    });
    health.endWatches(() => true);
    expect(await ended).toBe(Code.OK);
    expect(seen).toEqual([NOT_SERVING, SERVING]);
    await new Promise<void>((resolve, reject) => server.tryShutdown((error) => (error === undefined ? resolve() : reject(error))));
  });
});
