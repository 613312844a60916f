import { describe, expect, it } from 'vitest';
import type { LogChunk } from '../../src/engine/ports/journal.ts';
import { ChunkRing } from '../../src/feed/chunk-ring.ts';
import { event } from './memory-journal.ts';

const next = { epoch: 1, n: 1, offset: 0 };

function chunk(events: number): LogChunk {
  const position = { epoch: { number: 1, id: 'e' }, seen: null, window: null };
  return {
    events: Array.from({ length: events }, () => ({ event: event(1), next })),
    seenBefore: null,
    upTo: '1:1:',
    position,
    complete: true,
  };
}

describe('the ring', () => {
  it('keeps so many events and lets the oldest go', () => {
    const ring = new ChunkRing(5);
    const chunks = [chunk(2), chunk(2), chunk(2)];
    chunks.forEach((one) => ring.push(one));
    expect([0, 1, 2, 3].map((number) => ring.at(number))).toEqual(['gone', chunks[1], chunks[2], null]);
    expect(ring.end).toBe(3);
  });

  it('keeps one chunk, however large', () => {
    const ring = new ChunkRing(5);
    const large = chunk(9);
    ring.push(chunk(1));
    ring.push(large);
    expect(ring.at(1)).toBe(large);
  });

  it('goes on counting when it is cleared', () => {
    const ring = new ChunkRing(5);
    ring.push(chunk(1));
    ring.clear();
    expect([ring.end, ring.at(0), ring.at(1)]).toEqual([1, 'gone', null]);
  });
});
