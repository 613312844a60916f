import { parseArgs } from 'node:util';

export interface SoakOptions {
  readonly minutes: number;
  /** Of the recorded load: how long each lane of a producer rests between two calls. */
  readonly pauseMs: number;
  readonly jsonFile: string | null;
}

export const USAGE = `usage: npm run soak -- [options]
  --minutes N    how long it runs under load; default 10
  --pause MS     rest of each lane of the recorded producers; default 500, some 25 jobs a second
  --json FILE    writes every sample there; the last line on standard output has the summary`;

/** Null for what cannot be understood. */
export function parseOptions(args: readonly string[]): SoakOptions | null {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        minutes: { type: 'string', default: '10' },
        pause: { type: 'string', default: '500' },
        json: { type: 'string' },
      },
    });
    const [minutes, pauseMs] = [Number(values.minutes), Number(values.pause)];
    return minutes > 0 && pauseMs >= 0 ? { minutes, pauseMs, jsonFile: values.json ?? null } : null;
  } catch {
    return null;
  }
}
