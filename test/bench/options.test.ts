import { describe, expect, it } from 'vitest';
import { cells } from '../../bench/cells.ts';
import { deliverCells } from '../../bench/deliver.ts';
import { SERIES_NAMES } from '../../bench/growth/series.ts';
import { parseOptions } from '../../bench/options.ts';
import { reaches } from '../../bench/reaches.ts';

const namesOf = (options: ReturnType<typeof parseOptions>) => options?.cells.map(({ name }) => name);

describe('the options of the bench', () => {
  it('choose what is held against something, three rounds, and write no file', () => {
    const options = parseOptions([]);
    expect(new Set(namesOf(options))).toEqual(new Set(reaches.map(({ cell }) => cell)));
    expect(options).toMatchObject({ rounds: 3, seconds: 2.5, deliverCells: [], jsonFile: null, chartFile: null });
  });

  it('choose everything with --full, five rounds, and write the page its figures and its chart', () => {
    const options = parseOptions(['--full']);
    expect(namesOf(options)).toEqual(cells.map(({ name }) => name));
    expect(options).toMatchObject({ rounds: 5, deliverCells, jsonFile: 'docs/benchmarks.json', chartFile: 'docs/benchmarks.svg' });
  });

  it('choose the growth, and nothing else, with --grow, and write its chart', () => {
    expect(parseOptions(['--grow'])).toMatchObject({
      ...{ cells: [], deliverCells: [], growth: SERIES_NAMES, deepestBacklog: 10_000_000, rounds: 3 },
      ...{ jsonFile: null, chartFile: null, growthChartFile: 'docs/growth.svg' },
    });
    expect(parseOptions(['--grow', '--only', 'queues', '--only', 'payload'])?.growth).toEqual(['payload', 'queues']);
  });

  it('lay in no deep backlog with --quick, and overwrite no chart', () => {
    const quick = { deepestBacklog: 100_000, growthChartFile: null, rounds: 1, seconds: 1 };
    expect(parseOptions(['--grow', '--quick'])).toMatchObject(quick);
    expect(parseOptions(['--grow', '--quick', '--svg', 'a.svg', '--deepest', '1000'])).toMatchObject({
      ...quick,
      ...{ deepestBacklog: 1_000, growthChartFile: 'a.svg', chartFile: null },
    });
  });

  it('grow nothing without --full or --grow', () => {
    expect(parseOptions([])?.growth).toEqual([]);
    expect(parseOptions(['--full', '--only', 'drain'])?.growth).toEqual([]);
    expect(parseOptions(['--full'])).toMatchObject({ growth: SERIES_NAMES, growthChartFile: 'docs/growth.svg' });
  });

  it('choose by name from all cells, also from those that a short run leaves out', () => {
    expect(namesOf(parseOptions(['--only', 'claim-queues-10', '--only', 'enqueue-1']))).toEqual([
      'enqueue-1',
      'enqueue-16',
      'claim-queues-10',
      'claim-queues-1000',
    ]);
  });

  it('leave out with --alone whatever comes from a registry', () => {
    const variants = new Set(parseOptions(['--full', '--alone'])?.cells.flatMap((cell) => cell.variants));
    for (const peer of ['graphile', 'pg-boss', 'skip-locked', 'cheap']) expect(variants).not.toContain(peer);
    expect(variants).toContain('service');
  });

  it.each([
    [['--only', 'no such cell']],
    [['--rounds', '0']],
    [['--rounds', '1.5']],
    [['--seconds', 'x']],
    [['--fast']],
    [['--grow', '--only', 'drain']],
    [['--grow', '--full']],
    [['--deepest', '0']],
  ])('refuse %j', (args) => {
    expect(parseOptions(args)).toBeNull();
  });
});

describe('the reaches', () => {
  it.each(reaches)('hold variants of $cell against each other that it has: $of / $against', ({ cell, of, against }) => {
    expect(cells.find(({ name }) => name === cell)?.variants).toEqual(expect.arrayContaining([of, against]));
  });
});
