import { eventBytes } from '../domain/event.ts';
import type { LogChunk } from '../engine/ports/journal.ts';

export interface RingBound {
  readonly maxEvents: number;
  /** Of the events by `eventBytes`: failures carry details, so that a number of events alone bounds no memory. */
  readonly maxBytes: number;
}

interface Entry {
  readonly chunk: LogChunk;
  readonly bytes: number;
}

/** The chunks that were read last, numbered from the start of the process. The oldest go when there are too many events or bytes. */
export class ChunkRing {
  readonly #bound: RingBound;
  #entries: Entry[] = [];
  #events = 0;
  #bytes = 0;
  #first = 0;

  constructor(bound: RingBound) {
    this.#bound = bound;
  }

  /** Number of the chunk to come. */
  get end(): number {
    return this.#first + this.#entries.length;
  }

  /** One chunk stays, however large: a reader that waits for it must get it. */
  push(chunk: LogChunk): void {
    const bytes = chunk.events.reduce((sum, { event }) => sum + eventBytes(event), 0);
    this.#entries.push({ chunk, bytes });
    this.#events += chunk.events.length;
    this.#bytes += bytes;
    while (this.#isOverfull() && this.#entries.length > 1) this.#drop(this.#entries.shift());
  }

  /** `gone` for one that was dropped, null for one to come. */
  at(number: number): LogChunk | 'gone' | null {
    if (number < this.#first) return 'gone';
    return this.#entries[number - this.#first]?.chunk ?? null;
  }

  /** A number is passed over: what came next, for whoever had read to the end, may be missing too. */
  clear(): void {
    this.#first = this.end + 1;
    this.#entries = [];
    this.#events = 0;
    this.#bytes = 0;
  }

  #isOverfull(): boolean {
    return this.#events > this.#bound.maxEvents || this.#bytes > this.#bound.maxBytes;
  }

  #drop(oldest: Entry | undefined): void {
    if (oldest === undefined) return;
    this.#events -= oldest.chunk.events.length;
    this.#bytes -= oldest.bytes;
    this.#first += 1;
  }
}
