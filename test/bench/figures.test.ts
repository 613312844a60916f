import { describe, expect, it } from 'vitest';
import type { Variant } from '../../bench/cells.ts';
import { type Entry, figuresOf, outcomesOf } from '../../bench/figures.ts';

interface Told {
  readonly cell?: string;
  readonly variant?: Variant;
  readonly round?: number;
  readonly jobsPerSecond?: number;
  readonly server?: number;
  readonly writes?: number;
  readonly p50?: number;
}

function entry({
  cell = 'enqueue-64',
  variant = 'service',
  round = 1,
  jobsPerSecond = 1_000,
  server = 0.5,
  writes = 50,
  p50 = 1,
}: Told): Entry {
  const cpuSeconds = { client: 0.5, server, postgres: 0.5 };
  const turnMs = { p50, p95: 2, p99: 3 };
  const measured = { jobs: 1_000, jobsPerSecond, turnMs, cpuSeconds, busiestClient: 0.4, walBytes: 700_000, writes };
  return { cell, variant, round, measured };
}

describe('the figures', () => {
  it('are the median and the range over the rounds', () => {
    const [figures] = figuresOf([30, 10, 20].map((jobsPerSecond, round) => entry({ round, jobsPerSecond })));
    expect(figures?.jobsPerSecond).toEqual({ median: 20, min: 10, max: 30 });
  });

  it('are told for a job, CPU for a thousand', () => {
    const [figures] = figuresOf([entry({})]);
    expect(figures?.walBytesPerJob.median).toBe(700);
    expect(figures?.jobsPerWrite.median).toBe(20);
    expect(figures?.cpuPer1000.server.median).toBe(0.5);
    expect(figures?.jobsPerServerCpuSecond.median).toBe(2_000);
  });
});

describe('a reach', () => {
  const rounds = (service: readonly number[], ungrouped: readonly number[]) => [
    ...service.map((jobsPerSecond, round) => entry({ round, jobsPerSecond })),
    ...ungrouped.map((jobsPerSecond, round) => entry({ round, jobsPerSecond, variant: 'ungrouped', server: 1.5 })),
  ];

  it('is held against the other variant of the same round', () => {
    const [outcome] = outcomesOf(rounds([200, 20], [100, 10]));
    expect(outcome?.ratio).toEqual({ median: 2, min: 2, max: 2 });
    expect(outcome?.ratioByCpu?.median).toBe(2);
  });

  it.each([
    [170, 'missed'],
    [180, 'reached'],
    [300, 'aim reached'],
  ])('at %i to 100 is %s', (service, verdict) => {
    expect(outcomesOf(rounds([service], [100]))[0]?.verdict).toBe(verdict);
  });

  it('counts the process of the raw pipeline for its service', () => {
    const entries = [entry({ cell: 'lifecycle-batch' }), entry({ cell: 'lifecycle-batch', variant: 'raw-1', server: Number.NaN })];
    expect(outcomesOf(entries).map(({ against, ratioByCpu }) => [against, ratioByCpu?.median])).toEqual([['raw-1', 1]]);
  });

  it.each([
    [5, 'missed'],
    [3, 'reached'],
    [2, 'aim reached'],
  ])('on a time of %i to 5 is %s: the less the better', (p50, verdict) => {
    const cell = 'start-latency-idle';
    const outcomes = outcomesOf([entry({ cell, p50 }), entry({ cell, p50: 5, variant: 'graphile' })]);
    expect(outcomes.find(({ figure }) => figure === 'p50')).toMatchObject({ verdict, ratio: { median: p50 / 5 }, ratioByCpu: null });
  });
});
