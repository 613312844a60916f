import type { LogChunk } from '../engine/ports/journal.ts';

/** The chunks that were read last, numbered from the start of the process. The oldest go when there are too many events. */
export class ChunkRing {
  readonly #maxEvents: number;
  #chunks: LogChunk[] = [];
  #events = 0;
  #first = 0;

  constructor(maxEvents: number) {
    this.#maxEvents = maxEvents;
  }

  /** Number of the chunk to come. */
  get end(): number {
    return this.#first + this.#chunks.length;
  }

  /** One chunk stays, however large: a reader that waits for it must get it. */
  push(chunk: LogChunk): void {
    this.#chunks.push(chunk);
    this.#events += chunk.events.length;
    while (this.#events > this.#maxEvents && this.#chunks.length > 1) {
      this.#events -= this.#chunks.shift()?.events.length ?? 0;
      this.#first += 1;
    }
  }

  /** `gone` for one that was dropped, null for one to come. */
  at(number: number): LogChunk | 'gone' | null {
    if (number < this.#first) return 'gone';
    return this.#chunks[number - this.#first] ?? null;
  }

  clear(): void {
    this.#first = this.end;
    this.#chunks = [];
    this.#events = 0;
  }
}
