import { type ChildProcess, fork } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { HistoryReader } from '../history/history-file.ts';
import type { LoadSettings } from './settings.ts';

export const programs = ['producer', 'worker', 'subscriber', 'awaiter', 'streamer'] as const;
export type ProgramName = (typeof programs)[number];

/** Writes each program as one file: it starts in a fifth of the time that the sources take, and there are many of them. */
export async function bundlePrograms(folder: string): Promise<void> {
  await build({
    entryPoints: programs.map((name) => join(import.meta.dirname, `${name}-in-child.ts`)),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outdir: folder,
    outExtension: { '.js': '.cjs' },
    logLevel: 'error',
  });
}

/** One program of a load, running. */
export class LoadProcess {
  readonly name: string;
  readonly kind: ProgramName;
  readonly historyFile: string;
  /** Reads on in what it has written. */
  readonly history: HistoryReader;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #killed = false;

  /** `folder` holds the bundled programs. */
  constructor(folder: string, kind: ProgramName, settings: LoadSettings) {
    this.name = settings.name;
    this.kind = kind;
    this.historyFile = settings.historyFile;
    // It is there before the process is, for whoever reads along.
    appendFileSync(settings.historyFile, '');
    this.history = new HistoryReader(settings.historyFile);
    this.#child = fork(join(folder, `${kind}-in-child.cjs`), [JSON.stringify(settings)], { execArgv: [] });
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  get isKilled(): boolean {
    return this.#killed;
  }

  /** SIGSTOP: it stands still, with all that it holds, until `cont`. */
  stop(): void {
    this.#child.kill('SIGSTOP');
  }

  cont(): void {
    this.#child.kill('SIGCONT');
  }

  /** As a machine that loses power: nothing is given back. */
  async kill(): Promise<void> {
    this.#killed = true;
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** It begins nothing more, and ends when it has finished what it began; at once if it was killed. Throws if it broke. */
  async leave(limitMs: number): Promise<void> {
    if (this.#killed) return;
    this.#child.kill('SIGTERM');
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), limitMs);
    await this.#ended;
    clearTimeout(killer);
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== 0) throw new Error(`${this.name} did not leave in order: it ended with ${exitCode ?? signalCode}`);
  }
}
