import { expect, it } from 'vitest';
import { isNewEnough } from '../../bench/peer-programs.ts';

it.each([
  ['20.20.2', false],
  ['22.17.9', false],
  ['22.18.0', true],
  ['24.0.0', true],
])('takes Node %s for the peers: %s', (version, enough) => {
  expect(isNewEnough(version)).toBe(enough);
});
