import { parseArgs } from 'node:util';
import { cells } from './cells.ts';
import { deliverCells } from './deliver.ts';

export interface BenchOptions {
  readonly rounds: number;
  /** Measured seconds of each cell, after its warm-up. */
  readonly seconds: number;
  readonly clients: number;
  readonly cells: typeof cells;
  readonly deliverCells: typeof deliverCells;
  readonly jsonFile: string | null;
  readonly profileFolder: string | null;
}

export const USAGE = `usage: npm run bench -- [options]
  --rounds N       every cell and variant once in each; default 5
  --seconds S      measured time of a cell, after its warm-up; default 2.5
  --quick          one round of one second
  --only NAME      cells whose name holds this; may be repeated
  --clients N      processes of load clients; default 2
  --json FILE      writes every round there; the last line on standard output has the summary
  --profile DIR    the service leaves a CPU profile there`;

/** Null for what cannot be understood. */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [''] },
        clients: { type: 'string', default: '2' },
        json: { type: 'string' },
        profile: { type: 'string' },
      },
    });
    const options = {
      rounds: Number(values.rounds ?? (values.quick ? 1 : 5)),
      seconds: Number(values.seconds ?? (values.quick ? 1 : 2.5)),
      clients: Number(values.clients),
      cells: cells.filter(({ name }) => values.only.some((part) => name.includes(part))),
      deliverCells: deliverCells.filter(({ name }) => values.only.some((part) => name.includes(part))),
      jsonFile: values.json ?? null,
      profileFolder: values.profile ?? null,
    };
    const counts = [options.rounds, options.clients].every((count) => Number.isInteger(count) && count > 0);
    return counts && options.seconds > 0 && options.cells.length + options.deliverCells.length > 0 ? options : null;
  } catch {
    return null;
  }
}
