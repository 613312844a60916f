import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SubscribeRequest, SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { loopback } from './loopback.ts';

const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;
/** Shorter than a ping of the keepalive waits for its answer. */
const STEP_MS = 10_000;

/** Lets what was sent arrive: the network is real, only time is played. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('a connection', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  it('carries a stream for a day where no age is set', async () => {
    let say: (message: SubscribeResponse) => void = () => undefined;
    async function* subscribe() {
      for (;;) yield await new Promise<SubscribeResponse>((resolve) => (say = resolve));
    }
    const running = await loopback({ events: { subscribe } });
    const stream = running.events.subscribe(SubscribeRequest.fromPartial({ scope: { $case: 'queue', queue: 'q' } }));
    const told: string[] = [];
    stream.on('data', ({ cursor }: SubscribeResponse) => told.push(cursor));
    stream.on('error', (error) => told.push(error.message));
    for (let minute = 0; minute < DAY_MINUTES; minute += 1) {
      for (let passedMs = 0; passedMs < MINUTE_MS; passedMs += STEP_MS) {
        vi.advanceTimersByTime(STEP_MS);
        await settle();
      }
    }
    say(SubscribeResponse.fromPartial({ cursor: 'still here' }));
    await vi.waitFor(() => expect(told).toEqual(['still here']));
    stream.cancel();
    vi.useRealTimers();
    await running.close();
  });
});
