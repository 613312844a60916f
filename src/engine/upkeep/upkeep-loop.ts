import type { Micros } from '../../domain/job.ts';
import type { UpkeepRound } from '../ports/repository.ts';

/** A round comes at least so often: what another replica deferred is due whether or not we heard of it. */
const MAX_INTERVAL_MS = 1_000;
/** Rounds of a failing database are this far apart. */
const FAILURE_INTERVAL_MS = 1_000;

export interface UpkeepLoopParts {
  readonly round: () => Promise<UpkeepRound>;
  readonly onRound: (round: UpkeepRound) => void;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Runs a round when something is due: at the instant the database named, at the instant somebody here said, or after
 * the longest interval. Any number of replicas may run the same loop: rounds skip what another one has locked.
 */
export class UpkeepLoop {
  readonly #parts: UpkeepLoopParts;
  #timer: NodeJS.Timeout | null = null;
  /** Local monotonic time of the next round. */
  #wakeAt = 0;
  /** The earliest that was asked for while a round ran: what is due then may have come after its look. */
  #askedAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(parts: UpkeepLoopParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#schedule(0);
  }

  /** Something is due in so many milliseconds. */
  nudge(inMs: number): void {
    const at = performance.now() + inMs;
    if (this.#running !== null) this.#askedAt = Math.min(this.#askedAt, at);
    else if (at < this.#wakeAt) this.#schedule(inMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(inMs: number): void {
    if (this.#stopped) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#wakeAt = performance.now() + inMs;
    this.#timer = setTimeout(() => {
      this.#running = this.#run().finally(() => {
        this.#running = null;
      });
    }, inMs);
  }

  async #run(): Promise<void> {
    let waitMs = FAILURE_INTERVAL_MS;
    this.#askedAt = Number.POSITIVE_INFINITY;
    try {
      const round = await this.#parts.round();
      this.#parts.onRound(round);
      const askedMs = Math.max(0, this.#askedAt - performance.now());
      waitMs = round.more ? 0 : Math.min(askedMs, untilDueMs(round.nextDueAt, round.databaseTime));
    } catch (error) {
      this.#parts.onFailure(error);
    }
    this.#schedule(waitMs);
  }
}

/** Both instants are the database's, so their difference holds on our clock too. */
function untilDueMs(dueAt: Micros | null, databaseTime: Micros): number {
  if (dueAt === null) return MAX_INTERVAL_MS;
  return Math.min(MAX_INTERVAL_MS, Math.max(0, Math.ceil((dueAt - databaseTime) / 1_000)));
}
