import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, credentials, Server, ServerCredentials, status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Health } from '../../src/ops/health.ts';

const serviceName = 'stint.v1.JobService';
const SERVING = 1;
const NOT_SERVING = 2;

// grpc.health.v1 by hand: a request is field 1, the service; an answer is field 1, the status.
const serialize = (service: string) => Buffer.from(new BinaryWriter().uint32(0x0a).string(service).finish());
const deserialize = (bytes: Buffer) => {
  const reader = new BinaryReader(bytes);
  return bytes.length === 0 ? 0 : (reader.uint32(), reader.int32());
};

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

  const check = (service: string) =>
    new Promise<number | string | undefined>((resolve) => {
      client.makeUnaryRequest('/grpc.health.v1.Health/Check', serialize, deserialize, service, (error, status) =>
        resolve(error?.details ?? status),
      );
    });

  it('is what it was set to, for each service and overall', async () => {
    expect(await check('')).toBe(NOT_SERVING);
    health.setServing(true);
    expect(await Promise.all([check(''), check(serviceName)])).toEqual([SERVING, SERVING]);
    health.setServiceServing(serviceName, false);
    expect(await Promise.all([check(''), check(serviceName)])).toEqual([SERVING, NOT_SERVING]);
  });

  it('is not known of a service that is not there', async () => {
    expect(await check('stint.v1.Nothing')).toContain('unknown');
  });

  it('tells a watcher of changes, and lets it go before a stop', async () => {
    const seen: number[] = [];
    const stream = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', serialize, deserialize, '');
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
