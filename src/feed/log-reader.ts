import { EpochEnded, type LogReader } from '../engine/ports/event-log.ts';
import type { Journal, LogChunk, LogPosition } from '../engine/ports/journal.ts';
import type { LiveTail } from './live-tail.ts';
import { covers } from './snapshot-order.ts';

/**
 * Follows the log for one subscriber. Far behind it reads windows of the log that end where the live tail is; there it
 * joins the tail's ring; when it falls out of the ring it reads the log again. Either way it holds one position and no events.
 */
export class FollowingReader implements LogReader {
  readonly #tail: LiveTail;
  readonly #journal: Journal;
  readonly #interest: { close: () => void };
  /** Number of the ring's next entry; null while reading the log. */
  #entry: number | null = null;
  #position: LogPosition;

  constructor(tail: LiveTail, journal: Journal, start: LogPosition, interest: { close: () => void }) {
    this.#tail = tail;
    this.#journal = journal;
    this.#position = start;
    this.#interest = interest;
  }

  get position(): LogPosition {
    return this.#position;
  }

  async next(signal: AbortSignal, forMs: number): Promise<LogChunk | null> {
    const until = performance.now() + forMs;
    for (let leftMs = forMs; leftMs > 0 && !signal.aborted; leftMs = until - performance.now()) {
      if (this.#tail.junction().position.epoch.id !== this.#position.epoch.id) throw new EpochEnded();
      const found = this.#entry === null ? await this.#fromLog() : this.#fromRing(this.#entry);
      if (found === 'nothing yet') await this.#tail.changed(signal, leftMs);
      else if (found !== 'look again' && found.events.length > 0) return found;
    }
    return null;
  }

  close(): void {
    this.#interest.close();
  }

  #fromRing(number: number): LogChunk | 'nothing yet' | 'look again' {
    const chunk = this.#tail.entry(number);
    if (chunk === 'gone') {
      this.#entry = null;
      return 'look again';
    }
    if (chunk === null) {
      const { position, entry } = this.#tail.junction();
      // Nothing passed since: a later cursor is as right, and outlives the log's retention.
      if (entry === number) this.#position = position;
      return 'nothing yet';
    }
    this.#entry = number + 1;
    this.#position = chunk.position;
    return chunk;
  }

  async #fromLog(): Promise<LogChunk | 'nothing yet' | 'look again'> {
    const { position: end, entry } = this.#tail.junction();
    const { seen, window } = this.#position;
    if (window === null && seen === end.seen) {
      this.#entry = entry;
      return 'look again';
    }
    // Read faster than the hub reads a long window: it comes by.
    if (window === null && covers(seen, end.seen)) return 'nothing yet';
    const chunk = await this.#journal.read(this.#position, end.seen);
    if (chunk.position.epoch.id !== this.#position.epoch.id) throw new EpochEnded();
    this.#position = chunk.position;
    if (chunk.complete && chunk.position.seen === end.seen) this.#entry = entry;
    return chunk;
  }
}
