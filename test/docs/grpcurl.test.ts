import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../house/source.ts';
import { methodOf, rpcLines, unknownNames } from './rpc-lines.ts';

describe.each(['README.md', 'docs/queues.md', 'docs/state-machine.md'])('the grpcurl lines of %s', (page) => {
  const examples = rpcLines(readFileSync(join(projectRoot, page), 'utf8'));

  it('are there', () => {
    expect(examples.length).toBeGreaterThan(2);
  });

  it.each(examples)('$service/$method is a request that the contract knows', ({ service, method, json }) => {
    const found = methodOf({ service, method });
    expect(found).not.toBeNull();
    expect(unknownNames(JSON.parse(json), found?.requestType ?? null)).toEqual([]);
  });
});

it('finds out a line with a field that is not in the contract', () => {
  const enqueue = methodOf({ service: 'JobService', method: 'Enqueue' });
  expect(unknownNames({ job: { queue: 'a', payloads: '' } }, enqueue?.requestType ?? null)).toEqual(['payloads']);
});
