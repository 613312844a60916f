import { parseArgs } from 'node:util';
import { type Cell, cells, isPeer, type Variant } from './cells.ts';
import { deliverCells } from './deliver.ts';
import { reaches } from './reaches.ts';

export interface BenchOptions {
  readonly rounds: number;
  /** Measured seconds of each cell, after its warm-up. */
  readonly seconds: number;
  readonly clients: number;
  readonly cells: readonly Cell[];
  readonly deliverCells: typeof deliverCells;
  readonly jsonFile: string | null;
  readonly chartFile: string | null;
  readonly profileFolder: string | null;
}

export const USAGE = `usage: npm run bench -- [options]
  --full           all cells, five rounds; writes docs/benchmarks.json and docs/benchmarks.svg. Default: the cells that
                   are held against something, three rounds
  --rounds N       every cell and variant once in each
  --seconds S      measured time of a cell, after its warm-up; default 2.5
  --quick          one round of one second
  --only NAME      of all cells those whose name holds this; may be repeated
  --alone          without the peers and without the cheap client, which bring what they need from a registry
  --clients N      processes of load clients; default 2
  --json FILE      writes every round there; the last line on standard output has the summary
  --svg FILE       draws what was held against something there
  --profile DIR    the service leaves a CPU profile there`;

/** Null for what cannot be understood. */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        full: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true },
        alone: { type: 'boolean', default: false },
        clients: { type: 'string', default: '2' },
        json: { type: 'string' },
        svg: { type: 'string' },
        profile: { type: 'string' },
      },
    });
    const { full, only, quick } = values;
    const isChosen = ({ name }: { readonly name: string }) =>
      only === undefined ? full || reaches.some(({ cell }) => cell === name) : only.some((part) => name.includes(part));
    const chosen = cells.filter(isChosen);
    const options = {
      rounds: Number(values.rounds ?? (quick ? 1 : full ? 5 : 3)),
      seconds: Number(values.seconds ?? (quick ? 1 : 2.5)),
      clients: Number(values.clients),
      cells: values.alone ? without(chosen, (variant) => isPeer(variant) || variant === 'cheap') : chosen,
      deliverCells: deliverCells.filter(isChosen),
      jsonFile: values.json ?? (full ? 'docs/benchmarks.json' : null),
      chartFile: values.svg ?? (full ? 'docs/benchmarks.svg' : null),
      profileFolder: values.profile ?? null,
    };
    const counts = [options.rounds, options.clients].every((count) => Number.isInteger(count) && count > 0);
    return counts && options.seconds > 0 && options.cells.length + options.deliverCells.length > 0 ? options : null;
  } catch {
    return null;
  }
}

/** The same cells without some of their variants. */
export function without(from: readonly Cell[], isLeftOut: (variant: Variant) => boolean): readonly Cell[] {
  return from.map((cell) => ({ ...cell, variants: cell.variants.filter((variant) => !isLeftOut(variant)) }));
}
