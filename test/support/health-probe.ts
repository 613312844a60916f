import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Client } from '@grpc/grpc-js';

export const SERVING = 1;
export const NOT_SERVING = 2;

// grpc.health.v1 by hand: a request is field 1, the service; an answer is field 1, the status.
export const serializeProbe = (service: string): Buffer => Buffer.from(new BinaryWriter().uint32(0x0a).string(service).finish());
export const deserializeProbe = (bytes: Buffer): number => {
  const reader = new BinaryReader(bytes);
  return bytes.length === 0 ? 0 : (reader.uint32(), reader.int32());
};

/** As an orchestrator's gRPC probe asks: the status, or what the refusal says. */
export async function probeHealth(client: Client, service: string): Promise<number | string | undefined> {
  return await new Promise((resolve) => {
    client.makeUnaryRequest('/grpc.health.v1.Health/Check', serializeProbe, deserializeProbe, service, (error, status) =>
      resolve(error?.details ?? status),
    );
  });
}
