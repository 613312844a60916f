import { EpochEnded, type LogReader } from '../engine/ports/event-log.ts';
import type { Journal, LogChunk, LogPosition } from '../engine/ports/journal.ts';
import type { EventHub } from './event-hub.ts';

/**
 * Follows the log for one subscriber. Far behind it reads windows of the log that end where the hub is; there it joins
 * the hub's ring; when it falls out of the ring it reads the log again. Either way it holds one position and no events.
 */
export class FollowingReader implements LogReader {
  readonly #hub: EventHub;
  readonly #journal: Journal;
  readonly #interest: { close: () => void };
  /** Number of the ring's next entry; null while reading the log. */
  #entry: number | null = null;
  #position: LogPosition;

  constructor(hub: EventHub, journal: Journal, start: LogPosition, interest: { close: () => void }) {
    this.#hub = hub;
    this.#journal = journal;
    this.#position = start;
    this.#interest = interest;
  }

  get position(): LogPosition {
    return this.#position;
  }

  async next(signal: AbortSignal): Promise<LogChunk | null> {
    while (!signal.aborted) {
      if (this.#hub.junction().position.epoch.id !== this.#position.epoch.id) throw new EpochEnded();
      if (this.#entry === null) {
        const chunk = await this.#fromLog();
        if (chunk !== null && chunk.events.length > 0) return chunk;
        continue;
      }
      const entry = this.#fromRing(this.#entry);
      if (entry === 'gone') this.#entry = null;
      else if (entry !== null) return entry;
      else await this.#hub.changed(signal);
    }
    return null;
  }

  close(): void {
    this.#interest.close();
  }

  #fromRing(number: number): LogChunk | 'gone' | null {
    const entry = this.#hub.entry(number);
    if (entry === 'gone') return entry;
    const { position, entry: upcoming } = this.#hub.junction();
    if (entry === null) {
      // Nothing passed since: a later cursor is as right, and outlives the log's retention.
      if (upcoming === number) this.#position = position;
      return null;
    }
    this.#entry = number + 1;
    this.#position = entry.position;
    return entry;
  }

  async #fromLog(): Promise<LogChunk | null> {
    const { position, entry } = this.#hub.junction();
    if (this.#position.window === null && this.#position.seen === position.seen) {
      this.#entry = entry;
      return null;
    }
    const chunk = await this.#journal.read(this.#position, position.seen);
    if (chunk.position.epoch.id !== this.#position.epoch.id) throw new EpochEnded();
    this.#position = chunk.position;
    if (chunk.complete && chunk.position.seen === position.seen) this.#entry = entry;
    return chunk;
  }
}
