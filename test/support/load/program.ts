import { setMaxListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { HistoryWriter } from '../history/history-file.ts';
import { Recorder } from './recorder.ts';
import { type LoadSettings, parseSettings } from './settings.ts';
import { Pool } from './stubs.ts';

/** What every program of the load has. */
export interface Program {
  readonly settings: LoadSettings;
  readonly pool: Pool;
  readonly writer: HistoryWriter;
  readonly recorder: Recorder;
  /** Aborted by SIGTERM: begin nothing more, finish what was begun. */
  readonly leaving: AbortSignal;
}

/** Of one program at the same time: more than the jobs that a worker has in hand. */
const MAX_RESTS = 100;

/** Runs a program of the load until it is told to leave and has finished, or its parent is gone. */
export async function runProgram(main: (program: Program) => Promise<void>): Promise<void> {
  const settings = parseSettings(process.argv[2]);
  const leaving = new AbortController();
  setMaxListeners(MAX_RESTS, leaving.signal);
  process.once('SIGTERM', () => leaving.abort());
  process.once('disconnect', orphaned);
  const writer = new HistoryWriter(settings.historyFile);
  const pool = new Pool(settings.addresses, settings.number);
  const recorder = new Recorder(settings, writer);
  await main({ settings, pool, writer, recorder, leaving: leaving.signal });
  pool.close();
  process.off('disconnect', orphaned);
  process.disconnect?.();
}

function orphaned(): void {
  process.exit(1);
}

/** Cut short when the program is to leave. */
export async function rest(milliseconds: number, leaving: AbortSignal): Promise<void> {
  await pause(milliseconds, undefined, { signal: leaving }).catch(() => undefined);
}

/** How long a call whose outcome is unknown is tried again: longer than any fault of a test lasts. */
const RETRY_FOR_MS = 120_000;
const RETRY_PAUSE_MS = 100;

/** Again and again, each time on another replica, until the outcome is known. */
export async function untilKnown<End extends { readonly outcome: string }>(
  attempt: () => Promise<End>,
  retryForMs = RETRY_FOR_MS,
): Promise<End> {
  const startedAtMs = performance.now();
  for (;;) {
    const end = await attempt();
    if (end.outcome !== 'unknown' || performance.now() - startedAtMs > retryForMs) return end;
    await pause(RETRY_PAUSE_MS);
  }
}

/** The same for a call of several items, which is repeated as a whole. */
export async function untilAllKnown(attempt: () => Promise<readonly { readonly outcome: string }[]>): Promise<void> {
  await untilKnown(async () => {
    const ends = await attempt();
    return { outcome: ends.some(({ outcome }) => outcome === 'unknown') ? 'unknown' : 'known' };
  });
}
