import { eventBytes } from '../../domain/event.ts';
import type { LogChunk } from '../ports/journal.ts';
import type { Message } from './deliver.ts';

/** Chunks whose messages are kept, while anybody has them: those that are being handed out at this moment. */
const FRESH_CHUNKS = 8;
/** Of the events in what is kept of all of them, by `eventBytes`, however many filters there are. Past it each cuts for himself. */
const SHARED_BYTES = 16 * 1024 * 1024;

/** What a filter costs besides, also one that wants nothing of a chunk. */
const FILTER_BYTES = 256;

/** A chunk that has messages, and the bytes in them: it is not kept for that. */
interface Fresh {
  readonly chunk: WeakRef<LogChunk>;
  bytes: number;
}

/** What a chunk made, by filter. */
interface Made {
  readonly fresh: Fresh;
  readonly messages: Map<string, readonly Message[]>;
}

/**
 * What a chunk of the log makes for one filter is the same for everybody with that filter: cut once, so that a thousand of them
 * are handed the very same messages, which can be encoded once too. Whoever comes late cuts for himself.
 */
export class SharedMessages {
  readonly #maxBytes: number;
  /** Goes with its chunk, when nobody reads any more. */
  readonly #made = new WeakMap<LogChunk, Made>();
  /** Oldest first. */
  #fresh: Fresh[] = [];
  #bytes = 0;

  constructor(maxBytes = SHARED_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** `filter` tells all that `cut` depends on besides the chunk. */
  of(chunk: LogChunk, filter: string, cut: () => readonly Message[]): readonly Message[] {
    const { fresh, messages } = this.#made.get(chunk) ?? this.#begin(chunk);
    const known = messages.get(filter);
    if (known !== undefined) return known;
    const cuts = cut();
    const bytes = cuts.reduce((sum, { events }) => sum + events.reduce((of, event) => of + eventBytes(event), 0), FILTER_BYTES);
    if (this.#bytes + bytes > this.#maxBytes) return cuts;
    this.#bytes += bytes;
    fresh.bytes += bytes;
    messages.set(filter, cuts);
    return cuts;
  }

  #begin(chunk: LogChunk): Made {
    this.#makeRoom();
    const made = { fresh: { chunk: new WeakRef(chunk), bytes: 0 }, messages: new Map<string, readonly Message[]>() };
    this.#made.set(chunk, made);
    this.#fresh.push(made.fresh);
    return made;
  }

  /** Forgets the chunks that have gone, and of the others the oldest beyond what is kept: also where somebody still holds them. */
  #makeRoom(): void {
    const live = this.#fresh.filter(({ chunk }) => chunk.deref() !== undefined);
    for (const { chunk } of live.slice(0, Math.max(0, live.length - FRESH_CHUNKS + 1))) this.#forget(chunk.deref());
    this.#fresh = live.slice(-(FRESH_CHUNKS - 1));
    this.#bytes = this.#fresh.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #forget(chunk: LogChunk | undefined): void {
    if (chunk === undefined) return;
    this.#made.get(chunk)?.messages.clear();
    this.#made.delete(chunk);
  }
}
