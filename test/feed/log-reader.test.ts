import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { LogPosition } from '../../src/engine/ports/journal.ts';
import type { Junction, LiveTail } from '../../src/feed/live-tail.ts';
import { FollowingReader } from '../../src/feed/log-reader.ts';
import { ChunkRing } from '../../src/feed/chunk-ring.ts';
import { Signal } from '../../src/engine/ports/signal.ts';
import { event, jobId, MemoryJournal } from './memory-journal.ts';

const PATIENCE_MS = 10_000;

/** A hub that reads when the test says so, one chunk at a time. */
class HandTail implements LiveTail {
  readonly ring = new ChunkRing({ maxEvents: 1_000, maxBytes: Number.POSITIVE_INFINITY });
  readonly #changed = new Signal();
  readonly #journal: MemoryJournal;
  #at: LogPosition;
  #junction: Junction;
  waits = 0;

  constructor(journal: MemoryJournal, at: LogPosition) {
    this.#journal = journal;
    this.#at = at;
    this.#junction = { position: at, entry: 0 };
  }

  async readChunk(): Promise<void> {
    const chunk = await this.#journal.read(this.#at, null);
    this.#at = chunk.position;
    if (chunk.events.length > 0) this.ring.push(chunk);
    if (chunk.complete) this.#junction = { position: chunk.position, entry: this.ring.end };
    this.#changed.fire();
  }

  junction = () => this.#junction;
  entry = (number: number) => this.ring.at(number);
  changed = (signal: AbortSignal, forMs: number) => {
    this.waits += 1;
    return this.#changed.wait(signal, forMs);
  };
}

describe('a reader', () => {
  it('that has overtaken the hub in a long window waits for it, and is told nothing twice', async () => {
    const journal = new MemoryJournal(2);
    const start = await journal.head();
    const tail = new HandTail(journal, start);
    for (const job of [1, 2, 3, 4, 5]) journal.commit(event(job));
    const reader = new FollowingReader(tail, journal, start, { close: () => undefined });
    const told: string[] = [];
    const next = async () => {
      const chunk = await reader.next(new AbortController().signal, PATIENCE_MS);
      told.push(...(chunk?.events.map((logged) => logged.event.jobId) ?? []));
    };
    await tail.readChunk();
    await next();
    // Falls out of the ring, and reads the rest of the window before the hub does.
    await tail.readChunk();
    tail.ring.clear();
    await next();
    await next();
    expect(told).toEqual([1, 2, 3, 4, 5].map(jobId));
    const waiting = next();
    while (tail.waits === 0) await new Promise((resolve) => setImmediate(resolve));
    await tail.readChunk();
    journal.commit(event(6));
    await tail.readChunk();
    await waiting;
    expect(told).toEqual([1, 2, 3, 4, 5, 6].map(jobId));
  });

  it('moves on with the hub while nothing comes, so that its cursor does not grow old', async () => {
    const journal = new MemoryJournal();
    const start = await journal.head();
    const tail = new HandTail(journal, start);
    const reader = new FollowingReader(tail, journal, start, { close: () => undefined });
    const nothing = async () => {
      const [waited, waits] = [new AbortController(), tail.waits];
      const waiting = reader.next(waited.signal, PATIENCE_MS);
      while (tail.waits === waits) await new Promise((resolve) => setImmediate(resolve));
      waited.abort();
      expect(await waiting).toBeNull();
    };
    await nothing();
    expect(reader.position).toEqual(start);
    journal.commit();
    await tail.readChunk();
    await nothing();
    expect(reader.position).toEqual(await journal.head());
  });

  it('waits no longer than it is told to, and leaves nothing behind on the signal it is given', async () => {
    const journal = new MemoryJournal();
    const start = await journal.head();
    const reader = new FollowingReader(new HandTail(journal, start), journal, start, { close: () => undefined });
    const { signal } = new AbortController();
    expect(await reader.next(signal, 5)).toBeNull();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
