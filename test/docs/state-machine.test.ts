import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TERMINAL_STATES } from '../../src/domain/job.ts';
import { TRANSITIONS } from '../../src/domain/transition.ts';
import { projectRoot } from '../house/source.ts';

const page = readFileSync(join(projectRoot, 'docs/state-machine.md'), 'utf8');
const picture = /```mermaid\nstateDiagram-v2\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
const arrows = picture
  .split('\n')
  .map((line) => line.trim())
  .filter((line) => line !== '');

describe('the picture in docs/state-machine.md', () => {
  it('shows every transition of the table, and nothing else', () => {
    const table = TRANSITIONS.map(({ from, action, to, event }) => `${from ?? '[*]'} --> ${to}: ${action} / ${event}`);
    expect(arrows.filter((arrow) => !arrow.endsWith('[*]')).toSorted()).toEqual(table.toSorted());
  });

  it('ends in the terminal states that something leads to', () => {
    const reached = TERMINAL_STATES.filter((state) => TRANSITIONS.some(({ to }) => to === state));
    expect(arrows.filter((arrow) => arrow.endsWith('[*]'))).toEqual(reached.map((state) => `${state} --> [*]`));
  });

  it('explains each state it shows', () => {
    const shown = new Set(TRANSITIONS.map(({ to }) => to));
    for (const state of shown) expect(page).toContain(`\n| ${state} |`);
  });
});
