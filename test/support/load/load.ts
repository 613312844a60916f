import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { HistoryWriter, readHistory } from '../history/history-file.ts';
import type { HistoryLine } from '../history/record.ts';
import { askFinally, untilAllEnded } from './final.ts';
import { bundlePrograms, LoadProcess, type ProgramName } from './load-process.ts';

export interface LoadOptions {
  /** Of the replicas: `host:port`. */
  readonly addresses: readonly string[];
  /** How many processes of each kind. Defaults: 2 producers, 3 workers, 2 subscribers, 1 awaiter. */
  readonly producers?: number;
  readonly workers?: number;
  readonly subscribers?: number;
  readonly awaiters?: number;
  /** Workers over `Work` whose streams are cut. Default 0. */
  readonly streamers?: number;
  /** How long each of the lanes of a producer or an awaiter rests between two calls. Default 400 ms. */
  readonly pauseMs?: number;
  /** Default `load`. */
  readonly namespace?: string;
  /** Reasons of refusals that are no fault, besides those that the load asks for. Default: none. */
  readonly alsoRefused?: readonly string[];
}

/** Producers ask for conflicts, and workers come too late. */
const REFUSED_ON_PURPOSE = ['DUPLICATE_JOB', 'LEASE_LOST'];

/** A worker gives up what it does, a producer has its last call answered. Longer than any fault lasts. */
const LEAVE_LIMIT_MS = 60_000;
/** Leases of dead workers lapse, retries become due, the backlog is worked off. */
const DRAIN_LIMIT_MS = 90_000;
const CATCH_UP_LIMIT_MS = 30_000;
const LOOK_MS = 100;

/** Clients of several replicas in processes of their own, and what they write down. */
export class Load {
  readonly namespace: string;
  readonly processes: readonly LoadProcess[];
  readonly #addresses: readonly string[];
  readonly #folder: string;
  readonly #seen: HistoryLine[] = [];

  private constructor(options: LoadOptions, folder: string) {
    const {
      addresses,
      producers = 2,
      workers = 3,
      subscribers = 2,
      awaiters = 1,
      streamers = 0,
      pauseMs = 400,
      namespace = 'load',
    } = options;
    const refusals = [...REFUSED_ON_PURPOSE, ...(options.alsoRefused ?? [])];
    this.namespace = namespace;
    this.#addresses = addresses;
    this.#folder = folder;
    const start = (kind: ProgramName, count: number) =>
      Array.from({ length: count }, (_, number) => {
        const name = `${kind}-${number + 1}`;
        const historyFile = join(folder, `${name}.jsonl`);
        const told = { name, number, addresses, namespace, historyFile, pauseMs, refusals };
        return new LoadProcess(folder, kind, { ...told, queues: ['a', 'b'] });
      });
    this.processes = [
      ...start('subscriber', subscribers),
      ...start('worker', workers),
      ...start('streamer', streamers),
      ...start('producer', producers),
      ...start('awaiter', awaiters),
    ];
  }

  /** `end` it, whatever comes of it. */
  static async start(options: LoadOptions): Promise<Load> {
    const folder = mkdtempSync(join(tmpdir(), 'stint-load-'));
    await bundlePrograms(folder);
    return new Load(options, folder);
  }

  of(kind: ProgramName): readonly LoadProcess[] {
    return this.processes.filter((process) => process.kind === kind);
  }

  /** All that has been written so far, of each process in its order. */
  look(): readonly HistoryLine[] {
    for (const { history } of this.processes) for (const line of history.next()) this.#seen.push(line);
    return this.#seen;
  }

  /** Resolves once so many more jobs were settled for good than when it was called; throws past the limit. */
  async untilSettled(count: number, limitMs: number): Promise<void> {
    const settled = () => this.look().filter((line) => line.op === 'ack' && line.outcome === 'ok' && line.told.effect === 'APPLIED').length;
    const goal = settled() + count;
    await this.#until(() => settled() >= goal, limitMs);
  }

  /** Resolves once what was written says enough; throws past the limit. */
  async untilTold(isEnough: (lines: readonly HistoryLine[]) => boolean, limitMs: number): Promise<void> {
    await this.#until(() => isEnough(this.look()), limitMs);
  }

  /**
   * After all is healed: the producers finish, every job ends, the workers leave, the service is asked for all that it
   * knows, the subscribers catch up. Gives the whole history. Throws if it does not come to that.
   */
  async drain(): Promise<HistoryLine[]> {
    const leave = async (kind: ProgramName) => void (await Promise.all(this.of(kind).map((process) => process.leave(LEAVE_LIMIT_MS))));
    await Promise.all([leave('producer'), leave('awaiter')]);
    await untilAllEnded(this.#addresses, this.namespace, DRAIN_LIMIT_MS);
    await Promise.all([leave('worker'), leave('streamer')]);
    const finalFile = join(this.#folder, 'final.jsonl');
    const writer = new HistoryWriter(finalFile);
    const sequences = await askFinally(this.#addresses, this.namespace, writer);
    // What has not come by then is a gap, for the checker to name.
    await this.#until(() => this.#haveCaughtUp(sequences), CATCH_UP_LIMIT_MS).catch(() => undefined);
    await leave('subscriber');
    const subscribers = this.of('subscriber').filter(({ isKilled }) => !isKilled);
    writer.write({ op: 'final_end', jobs: sequences.size, subscribers: subscribers.map(({ name }) => name) });
    return readHistory([...this.processes.map(({ historyFile }) => historyFile), finalFile]);
  }

  /** Kills what still runs and removes the files. */
  async end(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.kill()));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Whether each subscriber was given the last event of each job. */
  #haveCaughtUp(lastSequences: ReadonlyMap<string, number>): boolean {
    const given = this.look().flatMap((line) =>
      line.op === 'events' ? line.events.map(({ jobId, sequence }) => `${line.subscriber} ${jobId} ${sequence}`) : [],
    );
    const keys = new Set(given);
    const alive = this.of('subscriber').filter(({ isKilled }) => !isKilled);
    return alive.every(({ name }) => [...lastSequences].every(([jobId, last]) => keys.has(`${name} ${jobId} ${last}`)));
  }

  async #until(isSo: () => boolean, limitMs: number): Promise<void> {
    const startedAtMs = performance.now();
    while (!isSo()) {
      if (performance.now() - startedAtMs > limitMs) throw new Error(`the load did not come so far within ${limitMs} ms`);
      await pause(LOOK_MS);
    }
  }
}
