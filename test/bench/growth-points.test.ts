import { describe, expect, it } from 'vitest';
import { growthChart } from '../../bench/growth/growth-chart.ts';
import { growthTables } from '../../bench/growth/growth-table.ts';
import { figuresOfLoad, type GrowthEntry, growthOutcomes, pointsOf } from '../../bench/growth/points.ts';
import { loadedSpots, SERIES_NAMES } from '../../bench/growth/series.ts';

const replicas = (at: number, round: number, jobsPerSecond: number, cpu = 0.5): GrowthEntry => ({
  ...{ series: 'replicas', row: 'lifecycle-batch', at, round },
  figures: { jobsPerSecond, cpu, p50Ms: 10 },
});

const beside = (at: number, round: number, p50Ms: number, buffers: number): GrowthEntry => ({
  ...{ series: 'backlog', row: 'claim of 1', at, round },
  figures: { p50Ms, p99Ms: 2 * p50Ms, statementMs: 1, buffers, buffersBehindClaims: buffers + 7 },
});

describe('the figures of a load', () => {
  const measured = {
    ...{ jobs: 2_000, jobsPerSecond: 1_000, turnMs: { p50: 1, p95: 2, p99: 3 }, busiestClient: 0.5, walBytes: 1_000_000, writes: 100 },
    cpuSeconds: { client: 0.2, server: 0.4, postgres: 0.6 },
  };

  it('are told for a job, CPU for a thousand', () => {
    const figures = figuresOfLoad(measured, undefined);
    expect(figures).toMatchObject({ jobsPerSecond: 1_000, walBytesPerJob: 500, serviceCpu: 0.2, postgresCpu: 0.3 });
    expect(figures.cpu).toBeCloseTo(0.5);
    expect(figures.megabytesPerSecond).toBeUndefined();
  });

  it('tell the payload of a second in MB', () => {
    expect(figuresOfLoad(measured, 100_000).megabytesPerSecond).toBe(100);
  });
});

describe('the points', () => {
  it('are the median and the range over the rounds, by what grows', () => {
    const points = pointsOf([replicas(4, 1, 30), replicas(1, 1, 10), replicas(1, 2, 30), replicas(1, 3, 20)]);
    expect(points.map(({ at }) => at)).toEqual([1, 4]);
    expect(points[0]?.figures.jobsPerSecond).toEqual({ median: 20, min: 10, max: 30 });
    expect(points[0]?.figures.buffers).toBeUndefined();
  });

  it('stand in a table for each series, with what was not measured left out', () => {
    const tables = growthTables(pointsOf([replicas(1, 1, 10), beside(10_000_000, 1, 2.5, 60)]));
    const cells = (start: string) => {
      const line = tables.split('\n').find((one) => one.startsWith(start)) ?? '';
      return line.split('|').map((cell) => cell.trim());
    };
    expect(tables.match(/^### .+$/gm)).toEqual(['### replicas', '### backlog']);
    expect(cells('| claim of 1')).toEqual(['', 'claim of 1', '10,000,000', '2.50 (2.50–2.50)', '5.00', '1.00', '60', '67', '']);
    expect(cells('| lifecycle-batch').slice(1, 6)).toEqual(['lifecycle-batch', '1', '10 (10–10)', '10.00', '-']);
  });
});

describe('a reach of the growth', () => {
  it('holds four replicas against one of the same round', () => {
    const [outcome, ...others] = growthOutcomes([
      replicas(1, 1, 100, 0.5),
      replicas(4, 1, 80, 1),
      replicas(1, 2, 10),
      replicas(4, 2, 8, 1),
    ]);
    expect(others).toEqual([]);
    expect(outcome).toMatchObject({ of: '4', against: '1', figure: 'rate', wanted: 0.7, aim: 1, verdict: 'reached' });
    expect(outcome?.ratio.median).toBeCloseTo(0.8);
    expect(outcome?.ratioByCpu?.median).toBeCloseTo(0.5);
  });

  it.each([
    [1.04, 1, 'aim reached', 'aim reached'],
    [1.2, 1.05, 'reached', 'reached'],
    [1.4, 1.2, 'missed', 'missed'],
  ])(
    'holds a claim beside 10⁷ jobs, of %f times the time and %f times the buffers, against one beside 10³',
    (time, buffers, ...verdicts) => {
      const outcomes = growthOutcomes([beside(1_000, 1, 2, 100), beside(10_000_000, 1, 2 * time, 100 * buffers)]);
      expect(outcomes.map(({ figure }) => figure)).toEqual(['p50', 'buffers']);
      expect(outcomes.map(({ verdict }) => verdict)).toEqual(verdicts);
    },
  );

  it('is not told while one side was not measured', () => {
    expect(growthOutcomes([beside(1_000, 1, 2, 100), beside(10_000_000, 2, 2, 100), replicas(4, 1, 80)])).toEqual([]);
  });
});

describe('the chart of the growth', () => {
  const dots = (chart: string) =>
    [...chart.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)] as const);

  it('has a dot for each point in each panel, and says what the axes are', () => {
    const chart = growthChart(pointsOf([replicas(1, 1, 100), replicas(2, 1, 150), replicas(4, 1, 200)]));
    expect(dots(chart)).toHaveLength(9);
    for (const words of ['replicas', 'jobs/s', 'p50 ms', '● lifecycle-batch']) expect(chart).toContain(`>${words}<`);
  });

  it('goes to the right by factors, and up with the figure', () => {
    const chart = growthChart(pointsOf([replicas(1, 1, 100), replicas(2, 1, 150), replicas(4, 1, 200)]));
    const [[x1, y1] = [0, 0], [x2, y2] = [0, 0], [x3, y3] = [0, 0]] = dots(chart);
    expect(x2 - x1).toBeCloseTo(x3 - x2, 0);
    expect(y1 - y2).toBeCloseTo(y2 - y3, 0);
    expect(y1).toBeGreaterThan(y3);
  });

  it('draws figures that lie far apart by factors too', () => {
    const chart = growthChart(pointsOf([beside(1_000, 1, 1, 60), beside(10_000, 1, 10, 60), beside(100_000, 1, 100, 60)]));
    const [[, y1] = [0, 0], [, y2] = [0, 0], [, y3] = [0, 0]] = dots(chart);
    expect(y1 - y2).toBeCloseTo(y2 - y3, 0);
  });

  it('stays a picture when nothing was measured, and when a figure is not known', () => {
    expect(growthChart([])).not.toContain('NaN');
    const unknown = growthChart(pointsOf([replicas(1, 1, 100, Number.NaN)]));
    expect(unknown).not.toContain('NaN');
    expect(dots(unknown)).toHaveLength(2);
  });
});

describe('the series', () => {
  const cells = SERIES_NAMES.flatMap(loadedSpots).map(({ cell }) => cell);

  it('have cells whose names are their own: by those the rates of a backlog are remembered', () => {
    expect(new Set(cells.map(({ name }) => name)).size).toBe(cells.length);
  });

  it('send no request that is larger than the service takes, nor ask for more than it answers with', () => {
    for (const { batch, payloadBytes = 200 } of cells) {
      expect(batch).toBeGreaterThan(0);
      expect((batch - 1) * (payloadBytes + 512)).toBeLessThan(2 * 1024 * 1024);
      expect(batch * (payloadBytes + 512)).toBeLessThan(4 * 1024 * 1024);
    }
  });
});
