// Speed and cost of the service, against the same without group commit, against its bare statements, and against other queues.
//
//   npm run bench [-- --full | --grow | --quick | --help | …]
import { writeFileSync } from 'node:fs';
import { type Cast, gatherCast } from './cast.ts';
import { chartOf } from './chart.ts';
import { type DeliverMeasured, deliverTable, measureDelivery } from './deliver.ts';
import { type Entry, figuresOf, outcomesOf } from './figures.ts';
import { GROWTH_SETTINGS, measureGrowth } from './growth/grow.ts';
import { growthChart } from './growth/growth-chart.ts';
import { growthTables } from './growth/growth-table.ts';
import { type GrowthEntry, growthOutcomes, pointsOf } from './growth/points.ts';
import { describeMachine, type Machine } from './machine.ts';
import { Meter } from './measure.ts';
import { type BenchOptions, parseOptions, USAGE } from './options.ts';
import { setStage, type Stage } from './stage.ts';
import { reachTable, tableOf } from './table.ts';

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort());

const options = parseOptions(process.argv.slice(2));
if (options === null) {
  console.error(USAGE);
  process.exit(2);
}
try {
  await bench(options);
} catch (error) {
  console.error(interrupted.signal.aborted ? 'bench: interrupted' : error);
  process.exitCode = 1;
}

async function bench(options: BenchOptions): Promise<void> {
  const machine = describeMachine();
  console.error(`bench: ${JSON.stringify(machine)}`);
  const cast = gatherCast(options.cells);
  for (const [variant, why] of Object.entries(cast.missing)) console.error(`bench: without "${variant}": ${why}`);
  const postgresSettings = options.growth.length > 0 ? GROWTH_SETTINGS : {};
  const stage = await setStage({ ...options, ...cast, postgresSettings });
  const meter = new Meter(stage);
  const entries: Entry[] = [];
  const deliveries: DeliverMeasured[] = [];
  const growth: GrowthEntry[] = [];
  try {
    for (let round = 1; round <= options.rounds; round += 1) {
      for await (const entry of measureRound(meter, round, { ...options, cells: cast.cells })) entries.push(entry);
      for await (const measured of deliverRound(stage, round, options)) deliveries.push(measured);
    }
    const wish = { ...options, stage, meter, series: options.growth, deepest: options.deepestBacklog, signal: interrupted.signal };
    for await (const entry of measureGrowth(wish)) growth.push(entry);
  } finally {
    await stage.stop();
  }
  report({ entries, deliveries, growth, cast }, { ...machine, postgres: stage.postgresVersion, settings: stage.settings }, options);
}

/** Each round begins elsewhere, so that no cell always follows the same one, and no variant always comes first. */
async function* measureRound(meter: Meter, round: number, { cells, seconds, rounds }: BenchOptions): AsyncGenerator<Entry> {
  for (const cell of rotated(cells, round)) {
    for (const variant of rotated(cell.variants, round)) {
      const measured = await meter.measure({ cell, variant, seconds, signal: interrupted.signal });
      const { jobsPerSecond, turnMs } = measured;
      const p50 = Number.isNaN(turnMs.p50) ? '' : `, p50 ${turnMs.p50.toFixed(2)} ms`;
      console.error(`${round}/${rounds} ${cell.name} ${variant}: ${Math.round(jobsPerSecond)} jobs/s${p50}`);
      yield { cell: cell.name, variant, round, measured };
    }
  }
}

/** Not rotated: the first cell tells what the load reaches alone, and others take half of that. */
async function* deliverRound(
  stage: Stage,
  round: number,
  { deliverCells, seconds, rounds }: BenchOptions,
): AsyncGenerator<DeliverMeasured> {
  let aloneJobsPerSecond: number | null = null;
  for (const cell of deliverCells) {
    const measured: DeliverMeasured = await measureDelivery({
      stage,
      cell,
      round,
      seconds,
      aloneJobsPerSecond,
      signal: interrupted.signal,
    });
    if (cell.subscribers === 0) aloneJobsPerSecond = measured.jobsPerSecond;
    const { jobsPerSecond, deliveriesPerSecond, keptUp } = measured;
    console.error(
      `${round}/${rounds} ${cell.name}: ${Math.round(jobsPerSecond)} jobs/s, ${Math.round(deliveriesPerSecond)} deliveries/s, kept up ${keptUp.toFixed(2)}`,
    );
    yield measured;
  }
}

function rotated<Item>(items: readonly Item[], by: number): readonly Item[] {
  const from = items.length === 0 ? 0 : (by - 1) % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}

interface Found {
  readonly entries: readonly Entry[];
  readonly deliveries: readonly DeliverMeasured[];
  readonly growth: readonly GrowthEntry[];
  readonly cast: Cast;
}

type Ground = Machine & { readonly postgres: string; readonly settings: Stage['settings'] };

/** The tables are for people, the last line for programs. */
function report(
  { entries, deliveries, growth, cast: { peers, missing } }: Found,
  machine: Ground,
  { jsonFile, chartFile, growthChartFile, rounds, seconds, clients }: BenchOptions,
): void {
  const figures = figuresOf(entries);
  const outcomes = [...outcomesOf(entries), ...growthOutcomes(growth)];
  const points = pointsOf(growth);
  const measuredAt = new Date().toISOString();
  const summary = { measuredAt, machine, peers, missing, rounds, seconds, clients, figures, outcomes, deliveries, growth: points };
  if (figures.length > 0) console.log(`${tableOf(figures)}\n`);
  if (deliveries.length > 0) console.log(`${deliverTable(deliveries)}\n`);
  if (points.length > 0) console.log(`${growthTables(points)}\n`);
  if (outcomes.length > 0) console.log(`${reachTable(outcomes)}\n`);
  if (jsonFile !== null) writeFileSync(jsonFile, `${JSON.stringify({ ...summary, entries, growthEntries: growth }, null, 2)}\n`);
  if (chartFile !== null) writeFileSync(chartFile, chartOf(outcomesOf(entries)));
  if (growthChartFile !== null) writeFileSync(growthChartFile, growthChart(points));
  console.log(JSON.stringify(summary));
}
