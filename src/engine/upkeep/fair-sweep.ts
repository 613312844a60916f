import type { Repository } from '../ports/repository.ts';
import type { FairPlace } from '../ports/upkeep.ts';

/** A page of the fairness keys is looked at so often: what is not swept yet costs a row, nothing else. */
export const SWEEP_INTERVAL_MS = 10_000;

export interface FairSweeperParts {
  readonly repository: Pick<Repository, 'sweepFairKeys'>;
  readonly onFailure: (error: unknown) => void;
}

/** Walks round the fairness keys, a page a round, and forgets those that have no jobs. */
export class FairSweeper {
  readonly #parts: FairSweeperParts;
  #after: FairPlace | null = null;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(parts: FairSweeperParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#schedule(SWEEP_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(inMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#round();
    }, inMs);
  }

  /** The next page follows at once where this one was full and told something: many keys may come and go in ten seconds. */
  async #round(): Promise<void> {
    let inMs = SWEEP_INTERVAL_MS;
    try {
      const { swept, next } = await this.#parts.repository.sweepFairKeys(this.#after);
      this.#after = next;
      if (swept > 0 && next !== null) inMs = 0;
    } catch (error) {
      this.#parts.onFailure(error);
    }
    this.#schedule(inMs);
  }
}
