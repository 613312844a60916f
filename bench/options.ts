import { parseArgs } from 'node:util';
import { type Cell, cells, isCheap, isPeer, type Variant } from './cells.ts';
import { deliverCells } from './deliver.ts';
import { type SeriesName, SERIES_NAMES } from './growth/series.ts';
import { reaches } from './reaches.ts';

export interface BenchOptions {
  readonly rounds: number;
  /** Measured seconds of each cell, after its warm-up. */
  readonly seconds: number;
  readonly clients: number;
  readonly cells: readonly Cell[];
  readonly deliverCells: typeof deliverCells;
  readonly growth: readonly SeriesName[];
  /** The deepest of the backlogs of the growth. */
  readonly deepestBacklog: number;
  readonly jsonFile: string | null;
  readonly chartFile: string | null;
  readonly growthChartFile: string | null;
  readonly profileFolder: string | null;
}

export const USAGE = `usage: npm run bench -- [options]
  --full           all cells, and how cost grows, five rounds; writes docs/benchmarks.json, docs/benchmarks.svg and
                   docs/growth.svg. Default: the cells that are held against something, three rounds
  --grow           how cost grows with replicas, backlog, payload, queues and workers, and nothing else; writes docs/growth.svg
  --deepest N      ready jobs of the deepest backlog that is laid in; default 10000000, which takes 8 GB of disk
  --rounds N       every cell and variant once in each
  --seconds S      measured time of a cell, after its warm-up; default 2.5
  --quick          one round of one second; no backlog deeper than 100000; of --grow no chart unless it is asked for
  --only NAME      of all cells, or of what grows, those whose name holds this; may be repeated
  --alone          without the peers and without the cheap client, which bring what they need from a registry
  --clients N      processes of load clients; default 2
  --json FILE      writes every round there; the last line on standard output has the summary
  --svg FILE       draws what was held against something there; with --grow, how cost grows
  --profile DIR    the service leaves a CPU profile there`;

const FLAGS = {
  full: { type: 'boolean', default: false },
  grow: { type: 'boolean', default: false },
  deepest: { type: 'string' },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  quick: { type: 'boolean', default: false },
  only: { type: 'string', multiple: true },
  alone: { type: 'boolean', default: false },
  clients: { type: 'string', default: '2' },
  json: { type: 'string' },
  svg: { type: 'string' },
  profile: { type: 'string' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>['values'];

/** Null for what cannot be understood. */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  try {
    const { values } = parseArgs({ args: [...args], options: FLAGS });
    const { full, grow, quick } = values;
    const options = {
      rounds: Number(values.rounds ?? (quick ? 1 : full ? 5 : 3)),
      seconds: Number(values.seconds ?? (quick ? 1 : 2.5)),
      clients: Number(values.clients),
      deepestBacklog: Number(values.deepest ?? (quick ? 100_000 : 10_000_000)),
      ...chosen(values),
      jsonFile: values.json ?? (full ? 'docs/benchmarks.json' : null),
      chartFile: grow ? null : (values.svg ?? (full ? 'docs/benchmarks.svg' : null)),
      growthChartFile: grow ? (values.svg ?? (quick ? null : 'docs/growth.svg')) : full ? 'docs/growth.svg' : null,
      profileFolder: values.profile ?? null,
    };
    const counts = [options.rounds, options.clients, options.deepestBacklog].every((count) => Number.isInteger(count) && count > 0);
    const some = options.cells.length + options.deliverCells.length + options.growth.length > 0;
    return counts && options.seconds > 0 && some && !(full && grow) ? options : null;
  } catch {
    return null;
  }
}

function chosen({ full, grow, only, alone }: Values): Pick<BenchOptions, 'cells' | 'deliverCells' | 'growth'> {
  const holds = (name: string) => only?.some((part) => name.includes(part));
  if (grow) return { cells: [], deliverCells: [], growth: SERIES_NAMES.filter((name) => holds(name) ?? true) };
  const isChosen = ({ name }: { readonly name: string }) => holds(name) ?? (full || reaches.some(({ cell }) => cell === name));
  const found = cells.filter(isChosen);
  return {
    cells: alone ? without(found, (variant) => isPeer(variant) || isCheap(variant)) : found,
    deliverCells: deliverCells.filter(isChosen),
    growth: full && only === undefined ? SERIES_NAMES : [],
  };
}

/** The same cells without some of their variants. */
export function without(from: readonly Cell[], isLeftOut: (variant: Variant) => boolean): readonly Cell[] {
  return from.map((cell) => ({ ...cell, variants: cell.variants.filter((variant) => !isLeftOut(variant)) }));
}
