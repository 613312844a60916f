import { readFileSync } from 'node:fs';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addReflection } from '../../src/ops/reflection.ts';

/** Fields of grpc.reflection.v1.ServerReflectionRequest. */
const FILE_BY_FILENAME = 3;
const FILE_CONTAINING_SYMBOL = 4;
const LIST_SERVICES = 7;

const lengthDelimited = 2;

/** The texts and messages inside a message, by field number: enough to read a few fields by hand. */
function fieldsOf(bytes: Uint8Array): { number: number; value: Uint8Array }[] {
  const reader = new BinaryReader(bytes);
  const found: { number: number; value: Uint8Array }[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType === lengthDelimited) found.push({ number, value: reader.bytes() });
    else reader.skip(wireType);
  }
  return found;
}

const inside = (bytes: Uint8Array, number: number) => fieldsOf(bytes).flatMap((field) => (field.number === number ? [field.value] : []));
const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

describe.each(['v1', 'v1alpha'])('reflection %s', (version) => {
  const server = new Server();
  let client: Client;

  beforeAll(async () => {
    addReflection(server);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  });

  afterAll(() => {
    client.close();
    server.forceShutdown();
  });

  /** The files or services that one question is answered with. */
  async function ask(field: number, value: string): Promise<Uint8Array> {
    const identity = (bytes: Buffer) => bytes;
    const stream = client.makeBidiStreamRequest(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`, identity, identity);
    const answer = new Promise<Buffer>((resolve, reject) => stream.once('data', resolve).once('error', reject));
    stream.write(Buffer.from(new BinaryWriter().tag(field, lengthDelimited).string(value).finish()));
    const bytes = await answer;
    stream.end();
    return bytes;
  }

  it('lists the services of the contract and of health', async () => {
    const [list] = inside(await ask(LIST_SERVICES, ''), 6);
    const names = inside(list ?? new Uint8Array(), 1).map((service) => text(inside(service, 1)[0]));
    expect(names).toEqual(
      expect.arrayContaining([
        'stint.v1.JobService',
        'stint.v1.WorkerService',
        'stint.v1.EventService',
        'stint.v1.QueueService',
        'externalscaler.ExternalScaler',
        'grpc.health.v1.Health',
      ]),
    );
  });

  it('gives the files as they were built, with the files they need', async () => {
    const [answer] = inside(await ask(FILE_CONTAINING_SYMBOL, 'stint.v1.JobService'), 4);
    const files = inside(answer ?? new Uint8Array(), 1);
    const names = files.map((file) => text(inside(file, 1)[0]));
    expect(names).toEqual(expect.arrayContaining(['stint/v1/job_service.proto', 'stint/v1/job.proto', 'google/protobuf/timestamp.proto']));
    const built = readFileSync('gen/descriptors.binpb');
    for (const file of files) expect(built.includes(Buffer.from(file)), text(inside(file, 1)[0])).toBe(true);
  });

  it('gives one file by its name', async () => {
    const [answer] = inside(await ask(FILE_BY_FILENAME, 'stint/v1/worker_service.proto'), 4);
    expect(text(inside(inside(answer ?? new Uint8Array(), 1)[0] ?? new Uint8Array(), 1)[0])).toBe('stint/v1/worker_service.proto');
  });
});
