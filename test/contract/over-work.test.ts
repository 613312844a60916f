import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLAIM_ONLY } from './claim-only.ts';

describe('what is left out over Work', () => {
  it('is there to be left out', () => {
    const told = CLAIM_ONLY.map(({ file, tests }) => [file, tests === 'all' ? [] : tests] as const);
    const missing = told.flatMap(([file, names]) => {
      const source = readFileSync(join(import.meta.dirname, file), 'utf8');
      return names.filter((name) => !source.includes(`'${name}'`)).map((name) => `${file}: ${name}`);
    });
    expect(missing).toEqual([]);
  });
});
