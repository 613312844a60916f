import type { Micros } from '../../domain/job.ts';

/** What is due comes in sight so often: what another replica deferred is due whether or not we heard of it. */
export const LOOK_INTERVAL_MS = 1_000;
/** Rounds of a failing database are this far apart. */
const FAILURE_INTERVAL_MS = 1_000;

export interface Round {
  /** True when another one is wanted at once. */
  readonly more: boolean;
  readonly nextDueAt: Micros | null;
  readonly databaseTime: Micros;
}

/** What a round tells that comes in its time, and for nothing that is due. */
export const untimed = (more: boolean): Round => ({ more, nextDueAt: null, databaseTime: 0 });

export interface UpkeepLoopParts<R extends Round> {
  readonly round: () => Promise<R>;
  readonly onRound: (round: R) => void;
  readonly onFailure: (error: unknown) => void;
  /** Rounds are at most so far apart; Infinity: none comes but when something is due. */
  readonly idleMs: number;
}

/**
 * Runs a round when something is due: at the instant that the round before named, or at the one that somebody here said, where that is
 * before the next look. Any number of replicas may run the same loop: rounds skip what another one has locked.
 */
export class UpkeepLoop<R extends Round> {
  readonly #parts: UpkeepLoopParts<R>;
  #timer: NodeJS.Timeout | null = null;
  /** Local monotonic time of the next round; before the start nothing is sooner. */
  #wakeAt = 0;
  /** The earliest that was asked for while a round ran: what is due then may have come after its look. */
  #askedAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(parts: UpkeepLoopParts<R>) {
    this.#parts = parts;
  }

  /** The first round comes in so many milliseconds; Infinity: once something is due. */
  start(inMs: number): void {
    this.#schedule(inMs);
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
    const waitMs = inMs > LOOK_INTERVAL_MS ? this.#parts.idleMs : inMs;
    this.#wakeAt = performance.now() + waitMs;
    this.#timer = waitMs === Number.POSITIVE_INFINITY ? null : setTimeout(() => this.#begin(), waitMs);
  }

  #begin(): void {
    this.#running = this.#run().finally(() => {
      this.#running = null;
    });
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
export function untilDueMs(dueAt: Micros | null, databaseTime: Micros): number {
  return dueAt === null ? Number.POSITIVE_INFINITY : Math.max(0, Math.ceil((dueAt - databaseTime) / 1_000));
}
