import { eventBytes } from '../../domain/event.ts';
import type { LogChunk } from '../ports/journal.ts';
import type { Message } from './deliver.ts';

/** Chunks whose messages are kept, while anybody has them: those that are being handed out at this moment. */
const FRESH_CHUNKS = 8;
/** Of the events in what is kept of all of them, by `eventBytes`, however many filters there are. Past it each cuts for himself. */
const SHARED_BYTES = 16 * 1024 * 1024;

/** What a filter costs besides, also one that wants nothing of a chunk. */
const FILTER_BYTES = 256;

/** What a chunk made, by filter. */
interface Made {
  readonly chunk: WeakRef<LogChunk>;
  readonly messages: Map<string, readonly Message[]>;
  bytes: number;
}

/**
 * What a chunk of the log makes for one filter is the same for everybody with that filter: cut once, so that a thousand of them
 * are handed the very same messages, which can be encoded once too. Whoever comes late cuts for himself.
 */
export class SharedMessages {
  readonly #maxBytes: number;
  /** Goes with its chunk. */
  readonly #made = new WeakMap<LogChunk, Made>();
  /** Of the chunks that have messages, oldest first. */
  readonly #fresh: Made[] = [];
  #bytes = 0;

  constructor(maxBytes = SHARED_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** `filter` tells all that `cut` depends on besides the chunk. */
  of(chunk: LogChunk, filter: string, cut: () => readonly Message[]): readonly Message[] {
    const made = this.#made.get(chunk) ?? this.#begin(chunk);
    const known = made.messages.get(filter);
    if (known !== undefined) return known;
    const messages = cut();
    const bytes = messages.reduce((sum, { events }) => sum + events.reduce((of, event) => of + eventBytes(event), 0), FILTER_BYTES);
    if (this.#bytes + bytes > this.#maxBytes) return messages;
    this.#bytes += bytes;
    made.bytes += bytes;
    made.messages.set(filter, messages);
    return messages;
  }

  #begin(chunk: LogChunk): Made {
    if (this.#fresh.length >= FRESH_CHUNKS) this.#forget(this.#fresh.shift());
    const made = { chunk: new WeakRef(chunk), messages: new Map<string, readonly Message[]>(), bytes: 0 };
    this.#made.set(chunk, made);
    this.#fresh.push(made);
    return made;
  }

  #forget(oldest: Made | undefined): void {
    if (oldest === undefined) return;
    this.#bytes -= oldest.bytes;
    // Its messages go though somebody still holds the chunk.
    oldest.messages.clear();
    const chunk = oldest.chunk.deref();
    if (chunk !== undefined) this.#made.delete(chunk);
  }
}
