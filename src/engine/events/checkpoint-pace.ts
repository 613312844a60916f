import { lastGridLine } from '../wait.ts';

/** A checkpoint is sent so often, or up to a second earlier, while events pass by unseen … */
const BUSY_INTERVAL_MS = 10_000;
/** … and so often while nothing happens at all. */
const IDLE_INTERVAL_MS = 60_000;

/** When a stream that tells no events owes its reader a cursor: one that lags far behind may expire with the log's retention. */
export class CheckpointPace {
  #toldAt = lastGridLine();
  #busy = false;

  /** A message was sent, with or without events. */
  told(): void {
    this.#toldAt = lastGridLine();
    this.#busy = false;
  }

  /** Events came that this stream does not want. */
  passedBy(): void {
    this.#busy = true;
  }

  /** Until the next checkpoint; 0 when it is due. */
  remainingMs(): number {
    const interval = this.#busy ? BUSY_INTERVAL_MS : IDLE_INTERVAL_MS;
    return Math.max(0, this.#toldAt + interval - performance.now());
  }
}
