import type { Sql } from 'postgres';
import { BenchProcess, ownProgram } from '../bench-process.ts';
import type { Meter } from '../measure.ts';
import type { Stage } from '../stage.ts';
import { measureBacklog } from './backlog.ts';
import { layIn } from './lay-in.ts';
import { figuresOfLoad, type GrowthEntry, type SpotFigures } from './points.ts';
import { BACKLOGS, claimRow, CLAIMS, loadedSpots, type SeriesName, type Spot } from './series.ts';

export interface GrowthWish {
  readonly stage: Stage;
  /** Of that stage: it knows which queues others have left something in. */
  readonly meter: Meter;
  readonly series: readonly SeriesName[];
  /** The deepest backlog that is laid in. */
  readonly deepest: number;
  readonly rounds: number;
  /** Measured seconds of each spot, after its warm-up. */
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** Settings of Postgres that the growth needs: each replica has its pools, and so has the service beside a backlog. */
export const GROWTH_SETTINGS = { max_connections: '300' } as const;
const QUEUE = 'backlog';

/** Every spot of the series, once in each round. */
export async function* measureGrowth({ stage, meter, series, deepest, rounds, seconds, signal }: GrowthWish): AsyncGenerator<GrowthEntry> {
  const backlogs = series.includes('backlog') ? await layInBacklogs(stage, deepest, signal) : [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of series) {
      for (const { row, at, cell } of inTurn(loadedSpots(name), round)) {
        for (const variant of cell.variants) {
          const measured = await meter.measure({ cell, variant, seconds, signal });
          yield noted({ series: name, row, at, round, figures: figuresOfLoad(measured, cell.payloadBytes) });
        }
      }
    }
    await stage.replicas.set(1);
    for (const { jobs, url } of inTurn(backlogs, round)) {
      for await (const found of besideBacklog({ url, seconds, signal })) yield noted({ series: 'backlog', at: jobs, round, ...found });
    }
  }
}

/** Up in one round and down in the next, so that what changes with time changes neither end more. */
function inTurn<Item>(items: readonly Item[], round: number): readonly Item[] {
  return round % 2 === 1 ? items : items.toReversed();
}

function noted(entry: GrowthEntry): GrowthEntry {
  const { series, row, at, round, figures } = entry;
  const rate = figures.jobsPerSecond === undefined ? '' : `${Math.round(figures.jobsPerSecond)} jobs/s, `;
  const buffers = figures.buffers === undefined ? '' : `, ${figures.buffers} buffers`;
  console.error(`${round} ${series} ${at} ${row}: ${rate}p50 ${figures.p50Ms?.toFixed(2)} ms${buffers}`);
  return entry;
}

interface LaidIn {
  readonly jobs: number;
  readonly url: string;
}

/** Each in a database of its own, for its tables and indexes are no larger than it makes them. */
async function layInBacklogs({ sql, databaseOf }: Stage, deepest: number, signal: AbortSignal): Promise<readonly LaidIn[]> {
  const laidIn: LaidIn[] = [];
  for (const jobs of BACKLOGS.filter((depth) => depth <= deepest)) {
    signal.throwIfAborted();
    const url = await makeDatabase(sql, databaseOf('service'), `${QUEUE}_${jobs}`);
    const startedAt = performance.now();
    await layIn({ url, queue: QUEUE, jobs, signal });
    console.error(`a backlog of ${jobs} was laid in within ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
    laidIn.push({ jobs, url });
  }
  return laidIn;
}

async function makeDatabase(sql: Sql, beside: string, name: string): Promise<string> {
  await sql`create database ${sql(name)}`;
  const url = new URL(beside);
  url.pathname = `/${name}`;
  return url.href;
}

interface Beside {
  readonly url: string;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** By a service that runs as long as it is measured: others that idle beside it would look after their tables. */
async function* besideBacklog({ url, seconds, signal }: Beside): AsyncGenerator<{ row: Spot['row']; figures: SpotFigures }> {
  const service = await BenchProcess.start('service of a backlog', ownProgram('service'), { args: [url, 'service'] });
  try {
    for (const jobs of CLAIMS) {
      const figures = await measureBacklog({ target: service.address, url, queue: QUEUE, jobs, seconds, signal });
      yield { row: claimRow(jobs), figures };
    }
  } finally {
    await service.stop();
  }
}
