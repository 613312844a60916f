import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../house/source.ts';

const folder = join(projectRoot, 'test/mutants');

/** Name, promise and killing files of each mutant, as its patch tells them. */
const mutants = readdirSync(folder)
  .filter((file) => file.endsWith('.patch'))
  .map((file) => {
    const text = readFileSync(join(folder, file), 'utf8');
    const killers = [...text.matchAll(/^Killed by: (.+?)\.test\.ts > /gm)].map((match) => `\`${match[1]}\``);
    const promise = /^Promise: (.+)$/m.exec(text)?.[1] ?? '';
    return `\`${file.replace('.patch', '')}\` | ${promise} | ${[...new Set(killers)].toSorted().join(', ')}`;
  });

describe('the table of mutants in docs/guarantees.md', () => {
  it('names each patch, its promise and where it is killed, and nothing else', () => {
    const rows = readFileSync(join(projectRoot, 'docs/guarantees.md'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.split('|').map((cell) => cell.trim()));
    expect(rows.map(([, name, promise, , files]) => [name, promise, files].join(' | ')).toSorted()).toEqual(mutants.toSorted());
  });
});

describe('the mutants', () => {
  it('still apply: what each of them takes out or changes stands where it says, once', () => {
    const { stdout } = spawnSync(process.execPath, ['tools/mutants.mjs', '--check'], { cwd: projectRoot, encoding: 'utf8' });
    expect(stdout.trim()).toBe(`${mutants.length} passed, 0 failed`);
  });
});
