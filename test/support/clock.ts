import type { Clock } from '../../src/engine/ports/clock.ts';

/** Time as a test plays it: starts now and moves only when told to. */
export class PlayedClock implements Clock {
  #nowMs = Date.now();

  now(): Date {
    return new Date(this.#nowMs);
  }

  advance(milliseconds: number): void {
    this.#nowMs += milliseconds;
  }
}
