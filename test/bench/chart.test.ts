import { describe, expect, it } from 'vitest';
import { chartOf } from '../../bench/chart.ts';
import type { Outcome } from '../../bench/figures.ts';

const spread = (median: number) => ({ median, min: median * 0.9, max: median * 1.1 });

function outcome(told: Partial<Outcome>): Outcome {
  const verdict = 'reached';
  return {
    cell: 'drain',
    of: 'service',
    against: 'graphile',
    figure: 'rate',
    wanted: 0.9,
    aim: 2,
    ratio: spread(1),
    ratioByCpu: null,
    verdict,
    ...told,
  };
}

/** Left edge, width and colour of each bar: the first rectangle is the ground. */
function barsOf(outcomes: readonly Outcome[]) {
  const found = [...chartOf(outcomes).matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="\d+" fill="(#\w+)"/g)];
  return found.map(([, x, width, colour]) => ({ x: Number(x), width: Number(width), colour }));
}

describe('the chart', () => {
  it('has a bar for each outcome, with its title and its figure', () => {
    const chart = chartOf([outcome({ ratio: spread(3) }), outcome({ cell: 'enqueue-64', of: 'cheap', ratio: spread(5) })]);
    expect(chart).toContain('>drain: service / graphile<');
    expect(chart).toContain('>enqueue-64: cheap / graphile<');
    expect(chart).toContain('>3.00×<');
    expect(chart).toContain('>5.00×<');
  });

  it('draws what is faster to the right of "as fast", what is slower to the left', () => {
    const [faster, slower] = barsOf([outcome({ ratio: spread(4) }), outcome({ ratio: spread(0.25) })]);
    expect(slower?.width).toBeCloseTo(faster?.width ?? 0);
    expect((slower?.x ?? 0) + (slower?.width ?? 0)).toBeCloseTo(faster?.x ?? 0);
  });

  it('draws a time the other way round: half the time is twice as fast', () => {
    const rate = outcome({ ratio: spread(2) });
    const time = outcome({ ratio: { median: 0.5, min: 0.4, max: 0.6 }, figure: 'p50', wanted: 0.7, aim: 0.4 });
    const [first, second] = barsOf([rate, time]);
    expect(second).toEqual(first);
    expect(chartOf([time])).toContain('>drain p50: service / graphile<');
  });

  it('tells by its colour what was missed', () => {
    const colours = (['missed', 'reached', 'aim reached'] as const).map(
      (verdict) => barsOf([outcome({ verdict, ratio: spread(2) })])[0]?.colour,
    );
    expect(new Set(colours).size).toBe(3);
  });

  it('stays a picture when nothing was measured', () => {
    expect(chartOf([])).not.toContain('NaN');
  });
});
