import { expect, it } from 'vitest';
import type { Outcome } from '../../bench/figures.ts';
import { reachTable } from '../../bench/table.ts';

const ratio = { median: 0.5, min: 0.4, max: 0.6 };
const rate: Outcome = {
  cell: 'drain',
  of: 'service',
  against: 'graphile',
  figure: 'rate',
  wanted: 0.9,
  aim: 2,
  ratio,
  ratioByCpu: ratio,
  verdict: 'missed',
};

const cellsOf = (line = '') =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());

it('tells what is wanted at least of a rate, at most of a time', () => {
  const time: Outcome = { ...rate, cell: 'start-latency-idle', figure: 'p99', wanted: 0.7, aim: 0.4, ratioByCpu: null, verdict: 'reached' };
  const [, , first, second] = reachTable([rate, time]).split('\n');
  expect(cellsOf(first)).toEqual(['drain: service / graphile', '0.50 (0.40–0.60)', '0.50 (0.40–0.60)', '≥ 0.9', '≥ 2', 'missed']);
  expect(cellsOf(second)).toEqual(['start-latency-idle p99: service / graphile', '0.50 (0.40–0.60)', '-', '≤ 0.7', '≤ 0.4', 'reached']);
});
