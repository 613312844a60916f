/** The page on scaling: its trigger is one that the scaler takes, and its table tells the defaults and bounds as they are. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GetMetricSpecResponse, ScaledObjectRef } from '../../gen/externalscaler/externalscaler.ts';
import { getMetricSpec } from '../../src/grpc/scaler/get-metric-spec.ts';
import { anyCall } from '../grpc/stub-engine.ts';
import { projectRoot } from '../house/source.ts';

const page = readFileSync(join(projectRoot, 'docs/scaling.md'), 'utf8');
const rows = [...page.matchAll(/^\| `([A-Za-z]+)` \| `?([^|`]+)`? \| (.+) \|$/gm)].map((match) =>
  match.slice(1, 4).map((cell) => cell.trim()),
);

async function specOf(scalerMetadata: Record<string, string>) {
  const answer = await getMetricSpec()(ScaledObjectRef.fromPartial({ scalerMetadata }), anyCall());
  return GetMetricSpecResponse.fromPartial(answer).metricSpecs[0];
}

describe('docs/scaling.md', () => {
  it('has a trigger that the scaler takes', async () => {
    const metadata = /^ {6}metadata:\n((?: {8}.*\n)+)/m.exec(page)?.[1] ?? '';
    const pairs = [...metadata.matchAll(/^ +(\w+): "?([^"\n]+?)"?$/gm)].map(([, name = '', value = '']): [string, string] => [name, value]);
    const said = Object.fromEntries(pairs);
    expect(Object.keys(said)).toHaveLength(6);
    expect(await specOf(said)).toMatchObject({ metricName: 'stint-backlog', targetSizeFloat: 10 });
  });

  it('names all that a trigger may say', async () => {
    const refused = await Promise.resolve(specOf({ queue: 'q', nothing: '' })).catch((error: unknown) => error);
    const names = rows.map(([name]) => name);
    expect(refused).toMatchObject({ refusal: { violations: [{ description: expect.stringContaining(':') }] } });
    const known = /there are (.+)"/.exec(JSON.stringify(refused))?.[1]?.replace(/".*/, '').split(', ');
    expect(names.toSorted()).toEqual(known?.toSorted());
  });

  it('tells the defaults as they are', async () => {
    const defaultOf = Object.fromEntries(rows.map(([name = '', value = '']): [string, string] => [name, value]));
    expect(defaultOf).toMatchObject({ namespace: 'default', scaleBy: 'backlog', activationThreshold: '0' });
    expect((await specOf({ queue: 'q' }))?.targetSizeFloat).toBe(Number(defaultOf['targetSize']));
    expect((await specOf({ queue: 'q', scaleBy: 'oldest_age' }))?.targetSizeFloat).toBe(Number(defaultOf['targetAgeSeconds']));
  });
});
