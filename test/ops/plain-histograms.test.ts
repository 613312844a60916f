import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { PlainHistograms } from '../../src/ops/metrics/plain-histograms.ts';

const shape = { name: 'taken_seconds', help: 'Time that it took.', labelNames: ['lane', 'outcome'], buckets: [0.1, 1, 10] };
/** On a bound, between bounds, above them all. */
const observed = [
  { labels: ['ack', 'committed'], values: [0, 0.1, 0.100_1, 1, 9.5, 10, 10.5, 3_600] },
  { labels: ['ack', 'a "quoted" \\ one'], values: [0.5] },
];

const linesOf = async (registry: Registry) => (await registry.metrics()).split('\n').toSorted();

describe('a plain histogram', () => {
  it("is told as the library's own is that has observed the same", async () => {
    const registry = new Registry();
    const theirs = new Histogram({ ...shape, registers: [registry] });
    const histograms = new PlainHistograms();
    const ours = histograms.add(shape);
    for (const { labels, values } of observed) {
      for (const value of values) {
        theirs.labels(...labels).observe(value);
        ours.labels(...labels).observe(value);
      }
    }
    expect((await linesOf(registry)).join('\n')).toContain('taken_seconds_bucket');
    expect(await linesOf(histograms.registry())).toEqual(await linesOf(registry));
  });

  it('is told with 0 from when its labels are asked for', async () => {
    const histograms = new PlainHistograms();
    histograms.add(shape).labels('claim', 'committed');
    expect(await histograms.registry().metrics()).toContain('taken_seconds_count{lane="claim",outcome="committed"} 0\n');
  });

  it('without labels is told from the start, with 0', async () => {
    const registry = new Registry();
    registry.registerMetric(new Histogram({ ...shape, labelNames: [], registers: [] }));
    const histograms = new PlainHistograms();
    histograms.add({ ...shape, labelNames: [] }).labels();
    expect(await linesOf(histograms.registry())).toEqual(await linesOf(registry));
  });

  it('goes on counting after it was told', async () => {
    const histograms = new PlainHistograms();
    const series = histograms.add({ ...shape, labelNames: [] }).labels();
    series.observe(0.5);
    await histograms.registry().metrics();
    series.observe(0.5);
    expect(await histograms.registry().metrics()).toContain('taken_seconds_count 2\n');
  });
});
