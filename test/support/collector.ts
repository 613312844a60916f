/** Collectors of traces, for tests: the OTLP endpoint over HTTP and over gRPC, and what its messages hold. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { Server, ServerCredentials } from '@grpc/grpc-js';

export interface CollectedLink {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceState: string;
  readonly attributes: Attributes;
}

type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface CollectedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it is the root of its trace. */
  readonly parentSpanId: string;
  readonly traceState: string;
  /** 1 internal, 2 server, 5 consumer. */
  readonly kind: number;
  readonly attributes: Attributes;
  readonly links: readonly CollectedLink[];
  /** 0 unset, 2 error. */
  readonly status: number;
  readonly resource: Attributes;
}

export interface Collector {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** All that came, for what must not be in it. */
  readonly bytes: Buffer;
  close(): Promise<void>;
}

class Received {
  readonly spans: CollectedSpan[] = [];
  bytes: Buffer = Buffer.alloc(0);

  add(body: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, body]);
    for (const part of messages(body, 1)) {
      const resource = attributesOf(messages(part, 1)[0] ?? Buffer.alloc(0), 1);
      const spans = messages(part, 2).flatMap((scope) => messages(scope, 2));
      this.spans.push(...spans.map((span) => ({ ...parseSpan(span), resource })));
    }
  }
}

export async function httpCollector(): Promise<Collector> {
  const received = new Received();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf') received.add(Buffer.concat(chunks));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return asCollector(received, portOf(server.address()), close);
}

export async function grpcCollector(): Promise<Collector> {
  const received = new Received();
  const server = new Server();
  const identity = (bytes: Buffer) => bytes;
  const codecs = { requestSerialize: identity, requestDeserialize: identity, responseSerialize: identity, responseDeserialize: identity };
  const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
  server.addService(
    { export: { path, requestStream: false, responseStream: false, ...codecs } },
    {
      export: ({ request }: { request: Buffer }, respond: (error: null, answer: Buffer) => void) => {
        received.add(request);
        respond(null, Buffer.alloc(0));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return asCollector(received, port, async () => server.forceShutdown());
}

function asCollector(received: Received, port: number, close: () => Promise<void>): Collector {
  return {
    url: `http://127.0.0.1:${port}`,
    spans: received.spans,
    get bytes() {
      return received.bytes;
    },
    close,
  };
}

const portOf = (address: AddressInfo | string | null) => (typeof address === 'object' ? (address?.port ?? 0) : 0);

type Value = Buffer | bigint | number;

/** The fields of a message, by number; of numbers only those that the spans here have. */
function fieldsOf(bytes: Buffer): Map<number, Value[]> {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Value[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    fields.set(number, [...(fields.get(number) ?? []), read(reader, type)]);
  }
  return fields;
}

function read(reader: BinaryReader, type: WireType): Value {
  switch (type) {
    case WireType.LengthDelimited:
      return Buffer.from(reader.bytes());
    case WireType.Varint:
      return BigInt(reader.int64());
    case WireType.Bit64:
      return reader.double();
    case WireType.Bit32:
      return reader.fixed32();
    default:
      throw new Error('a group, which nobody writes');
  }
}

function messages(bytes: Buffer, number: number): Buffer[] {
  return (fieldsOf(bytes).get(number) ?? []).filter((value): value is Buffer => Buffer.isBuffer(value));
}

const hex = (bytes: Buffer, number: number) => messages(bytes, number)[0]?.toString('hex') ?? '';
const text = (bytes: Buffer, number: number) => messages(bytes, number)[0]?.toString() ?? '';
const number = (bytes: Buffer, field: number) => Number(fieldsOf(bytes).get(field)?.[0] ?? 0);

function attributesOf(bytes: Buffer, field: number): Attributes {
  return Object.fromEntries(messages(bytes, field).map((pair) => [text(pair, 1), valueOf(messages(pair, 2)[0] ?? Buffer.alloc(0))]));
}

function valueOf(bytes: Buffer): string | number | boolean {
  const [[kind, [value]] = [0, []]] = [...fieldsOf(bytes)];
  if (Buffer.isBuffer(value)) return value.toString();
  return kind === 2 ? value === 1n : Number(value);
}

function parseSpan(bytes: Buffer): Omit<CollectedSpan, 'resource'> {
  return {
    ...{ name: text(bytes, 5), traceId: hex(bytes, 1), spanId: hex(bytes, 2), parentSpanId: hex(bytes, 4), traceState: text(bytes, 3) },
    ...{ kind: number(bytes, 6), attributes: attributesOf(bytes, 9), status: number(messages(bytes, 15)[0] ?? Buffer.alloc(0), 3) },
    links: messages(bytes, 13).map((link) => ({
      ...{ traceId: hex(link, 1), spanId: hex(link, 2), traceState: text(link, 3), attributes: attributesOf(link, 4) },
    })),
  };
}
