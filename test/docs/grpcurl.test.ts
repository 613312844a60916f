import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadFileDescriptorSetFromBuffer, type MessageTypeDefinition } from '@grpc/proto-loader';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../house/source.ts';

const contract = loadFileDescriptorSetFromBuffer(readFileSync(join(projectRoot, 'gen/descriptors.binpb')));
const lines = readFileSync(join(projectRoot, 'README.md'), 'utf8').matchAll(/^rpc (\w+)\/(\w+) +'(.*)'$/gm);
const examples = [...lines].map(([, service = '', method = '', json = '']) => ({ service, method, json }));

interface Field {
  readonly name: string;
  readonly typeName: string;
}

type Message = MessageTypeDefinition<object, object>;

function requestOf(service: string, method: string): Message | null {
  const definition = contract[`stint.v1.${service}`];
  if (definition === undefined || 'format' in definition) return null;
  return definition[method]?.requestType ?? null;
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

/** Names in the JSON that the message has no field for; well-known types have a JSON form of their own. */
function unknownNames(value: unknown, message: Message | null): string[] {
  if (message === null || typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => unknownNames(item, message));
  return Object.entries(value).flatMap(([name, inner]) => {
    const field = fieldsOf(message).find((candidate) => candidate.name === name);
    return field === undefined ? [name] : unknownNames(inner, messageNamed(field.typeName));
  });
}

describe('the grpcurl lines of the README', () => {
  it('are there', () => {
    expect(examples.length).toBeGreaterThan(10);
  });

  it.each(examples)('$service/$method is a request that the contract knows', ({ service, method, json }) => {
    const request = requestOf(service, method);
    expect(request).not.toBeNull();
    expect(unknownNames(JSON.parse(json), request)).toEqual([]);
  });

  it('would be found out with a field that is not in the contract', () => {
    const request = requestOf('JobService', 'Enqueue');
    expect(unknownNames({ job: { queue: 'a', payloads: '' } }, request)).toEqual(['payloads']);
  });
});
