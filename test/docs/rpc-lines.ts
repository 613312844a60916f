/** The lines `rpc Service/Method '{…}'` of a page: grpcurl's JSON, held against the contract and made into requests. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadFileDescriptorSetFromBuffer, type MessageTypeDefinition, type MethodDefinition } from '@grpc/proto-loader';
import { projectRoot } from '../house/source.ts';

const AS_IN_JSON = { keepCase: true, enums: String };
const contract = loadFileDescriptorSetFromBuffer(readFileSync(join(projectRoot, 'gen/descriptors.binpb')), AS_IN_JSON);

export interface RpcLine {
  readonly service: string;
  readonly method: string;
  readonly json: string;
}

interface Field {
  readonly name: string;
  readonly typeName: string;
}

type Message = MessageTypeDefinition<object, object>;
type Method = MethodDefinition<object, object, object, object>;

export function rpcLines(text: string): readonly RpcLine[] {
  const lines = text.matchAll(/^rpc (\w+)\/(\w+) +'(.*)'$/gm);
  return [...lines].map(([, service = '', method = '', json = '']) => ({ service, method, json }));
}

export function methodOf({ service, method }: Pick<RpcLine, 'service' | 'method'>): Method | null {
  const definition = contract[`stint.v1.${service}`];
  if (definition === undefined || 'format' in definition) return null;
  return definition[method] ?? null;
}

function isField(value: unknown): value is Field {
  return typeof value === 'object' && value !== null && 'name' in value && 'typeName' in value;
}

function fieldsOf(message: Message): readonly Field[] {
  return 'field' in message.type && Array.isArray(message.type.field) ? message.type.field.filter(isField) : [];
}

function isMessage(definition: object): definition is Message {
  return 'format' in definition && 'serialize' in definition;
}

function messageNamed(name: string): Message | null {
  const definition = contract[`stint.v1.${name}`];
  return definition !== undefined && isMessage(definition) ? definition : null;
}

/** Names of the fields of a message of the contract, as they stand in its proto. */
export function fieldNames(name: string): readonly string[] {
  const message = messageNamed(name);
  return message === null ? [] : fieldsOf(message).map((field) => field.name);
}

/** Names in the JSON that the message has no field for; well-known types have a JSON form of their own. */
export function unknownNames(value: unknown, message: Message | null): string[] {
  if (message === null || typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => unknownNames(item, message));
  return Object.entries(value).flatMap(([name, inner]) => {
    const field = fieldsOf(message).find((candidate) => candidate.name === name);
    return field === undefined ? [name] : unknownNames(inner, messageNamed(field.typeName));
  });
}

/** The request that grpcurl makes of a line. */
export function requestOf(line: RpcLine): object {
  const method = methodOf(line);
  const value: unknown = JSON.parse(line.json);
  const made = method === null ? null : unwrapped(value, method.requestType);
  if (typeof made !== 'object' || made === null) throw new Error(`${line.service}/${line.method} is no RPC, or has no request`);
  return made;
}

/** With what JSON writes as a string made into the message that it stands for. */
function unwrapped(value: unknown, message: Message | null): unknown {
  if (message === null || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => unwrapped(item, message));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const typeName = fieldsOf(message).find((field) => field.name === name)?.typeName ?? '';
      const { [typeName]: read } = WELL_KNOWN;
      return [name, read !== undefined && typeof inner === 'string' ? read(inner) : unwrapped(inner, messageNamed(typeName))];
    }),
  );
}

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const WELL_KNOWN: Readonly<Record<string, (text: string) => object>> = {
  'google.protobuf.Duration': (text) => ({ seconds: Number(text.replace(/s$/, '')) }),
  'google.protobuf.Timestamp': (text) => ({ seconds: Date.parse(text) / 1_000 }),
  'google.protobuf.FieldMask': (text) => ({ paths: text.split(',').map(snakeCase) }),
};
