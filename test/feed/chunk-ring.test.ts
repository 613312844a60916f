import { describe, expect, it } from 'vitest';
import { eventBytes, type JobEvent } from '../../src/domain/event.ts';
import type { LogChunk } from '../../src/engine/ports/journal.ts';
import { ChunkRing } from '../../src/feed/chunk-ring.ts';
import { event } from './memory-journal.ts';

const next = { epoch: 1, n: 1, offset: 0 };

const failure = { code: 'c', message: '', details: new Uint8Array(65_536), kind: 'RETRYABLE' as const };
const failed = event(1, { detail: { type: 'failed', failure, deadLettered: true, evidence: null } });

function chunk(events: number, told: JobEvent = event(1)): LogChunk {
  const position = { epoch: { number: 1, id: 'e' }, seen: null, window: null };
  return {
    events: Array.from({ length: events }, () => ({ event: told, next })),
    seenBefore: null,
    upTo: '1:1:',
    position,
    complete: true,
  };
}

describe('the ring', () => {
  it('keeps so many events and lets the oldest go', () => {
    const ring = new ChunkRing({ maxEvents: 5, maxBytes: Number.POSITIVE_INFINITY });
    const chunks = [chunk(2), chunk(2), chunk(2)];
    chunks.forEach((one) => ring.push(one));
    expect([0, 1, 2, 3].map((number) => ring.at(number))).toEqual(['gone', chunks[1], chunks[2], null]);
    expect(ring.end).toBe(3);
  });

  it('keeps so many bytes and lets the oldest go', () => {
    const ring = new ChunkRing({ maxEvents: 1_000, maxBytes: 4 * eventBytes(failed) });
    const chunks = [chunk(2, failed), chunk(2, failed), chunk(1, failed), chunk(1, failed)];
    chunks.forEach((one) => ring.push(one));
    expect([0, 1, 2, 3, 4].map((number) => ring.at(number))).toEqual(['gone', ...chunks.slice(1), null]);
    ring.push(chunk(1));
    expect(ring.at(1)).toBe('gone');
  });

  it('has room again when it is cleared', () => {
    const ring = new ChunkRing({ maxEvents: 2, maxBytes: 2 * eventBytes(failed) });
    ring.push(chunk(2, failed));
    ring.clear();
    const chunks = [chunk(1, failed), chunk(1, failed)];
    chunks.forEach((one) => ring.push(one));
    expect([2, 3].map((number) => ring.at(number))).toEqual(chunks);
  });

  it('keeps one chunk, however large', () => {
    const ring = new ChunkRing({ maxEvents: 5, maxBytes: Number.POSITIVE_INFINITY });
    const large = chunk(9);
    ring.push(chunk(1));
    ring.push(large);
    expect(ring.at(1)).toBe(large);
    const narrow = new ChunkRing({ maxEvents: 5, maxBytes: 1 });
    narrow.push(large);
    expect(narrow.at(0)).toBe(large);
  });

  it('passes a number over when it is cleared, so that whoever waits for the next chunk knows', () => {
    const ring = new ChunkRing({ maxEvents: 5, maxBytes: Number.POSITIVE_INFINITY });
    ring.push(chunk(1));
    ring.clear();
    expect([ring.end, ring.at(0), ring.at(1), ring.at(2)]).toEqual([2, 'gone', 'gone', null]);
  });
});
