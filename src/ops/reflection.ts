import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Server } from '@grpc/grpc-js';
import { type EnumTypeDefinition, loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { protoPath as healthProto } from 'grpc-health-check';

const DESCRIPTORS = 'gen/descriptors.binpb';

/** `grpc.reflection.v1` (and `v1alpha`, which older tools ask for) over the contract's own descriptors. */
export function addReflection(server: Server): void {
  const descriptors = readFileSync(join(packageRoot(import.meta.dirname), DESCRIPTORS));
  // The reflection library reads descriptors off a package of proto-loader's. Had proto-loader read them, it would have
  // merged the files of a package into one and forgotten which fields are optional: it only carries ours here.
  const ours: EnumTypeDefinition = {
    format: 'Protocol Buffer 3 EnumDescriptorProto',
    type: {},
    fileDescriptorProtos: filesOf(descriptors),
  };
  new ReflectionService({ ...loadSync(healthProto), stint: ours }).addToServer(server);
}

/** The nearest folder above that holds the descriptors: it differs between src/ and dist/src/. */
function packageRoot(folder: string): string {
  if (existsSync(join(folder, DESCRIPTORS))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error(`${DESCRIPTORS} is missing: install the package anew`);
  return packageRoot(parent);
}

/** Field 1 of FileDescriptorSet, length-delimited, is all that a set is made of. */
const FILE_TAG = 0x0a;

function filesOf(set: Buffer): Buffer[] {
  const files: Buffer[] = [];
  let offset = 0;
  while (offset < set.length) {
    if (set[offset] !== FILE_TAG) throw new Error(`${DESCRIPTORS} is no FileDescriptorSet`);
    const [length, start] = varint(set, offset + 1);
    files.push(set.subarray(start, start + length));
    offset = start + length;
  }
  return files;
}

/** The number at `offset` and where it ends. */
function varint(bytes: Buffer, offset: number): [value: number, end: number] {
  const byte = bytes.readUInt8(offset);
  if (byte < 0x80) return [byte, offset + 1];
  const [rest, end] = varint(bytes, offset + 1);
  return [(byte & 0x7f) + rest * 0x80, end];
}
