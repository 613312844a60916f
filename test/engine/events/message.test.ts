import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SubscribeResponse } from '../../../gen/stint/v1/event_service.ts';
import type { JobEvent } from '../../../src/domain/event.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { cutIntoMessages } from '../../../src/engine/events/message.ts';
import { wireEvent } from '../../../src/grpc/events/event.ts';
import { event } from '../../feed/memory-journal.ts';

const cut = (events: readonly JobEvent[]) => cutIntoMessages(events, (one) => one);

const longest = 'é'.repeat(64);

function failed(message: string, detailsBytes: number): JobEvent {
  const failure = { code: 'c'.repeat(LIMITS.nameLength), message, details: new Uint8Array(detailsBytes), kind: 'TERMINAL' as const };
  return event(1, {
    namespace: longest,
    queue: longest,
    workerId: 'w'.repeat(LIMITS.workerIdBytes),
    state: 'FAILED',
    detail: { type: 'failed', failure, deadLettered: true, evidence: null },
  });
}

describe('events cut into messages', () => {
  it('stay whole and in order, none beyond the number of events', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(65_536), { maxLength: 1_000, size: 'max' }), (sizes) => {
        const events = sizes.map((size) => failed('', size));
        const messages = cut(events);
        expect(messages.flat()).toEqual(events);
        for (const message of messages) {
          expect(message.length).toBeGreaterThan(0);
          expect(message.length).toBeLessThanOrEqual(LIMITS.eventsPerMessage);
        }
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    ['large details', '', LIMITS.failureDetailsBytes],
    ['long messages', '€'.repeat(LIMITS.failureMessageBytes / 3), 0],
    ['both', '€'.repeat(LIMITS.failureMessageBytes / 3), LIMITS.failureDetailsBytes],
    ['nothing but an envelope', '', 0],
  ])('with %s fit the bound on a message', (_what, message, detailsBytes) => {
    const events = Array.from({ length: 600 }, () => failed(message, detailsBytes));
    for (const part of cut(events)) {
      const bytes = SubscribeResponse.encode({
        events: part.map(wireEvent),
        cursor: 'c'.repeat(500),
        progress: [],
        reconnect: undefined,
      }).finish();
      expect(bytes.byteLength).toBeLessThanOrEqual(LIMITS.eventMessageBytes);
    }
  });

  it('are as many messages as the number of events asks for, no more', () => {
    expect(cut(Array.from({ length: LIMITS.eventsPerMessage * 2 }, () => event(1)))).toHaveLength(2);
    expect(cut([])).toEqual([]);
  });
});
