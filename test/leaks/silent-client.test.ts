/** A client that is there no more and never said so: its machine is off, or the network between. */
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import type { Call } from '../../src/grpc/call.ts';
import { loopback } from '../grpc/loopback.ts';
import { kill, startClientProcess } from './client-process.ts';

const SECOND_MS = 1_000;
/** A ping after 45 s without a word, and 15 s for its answer. */
const CUT_AFTER_MS = 60 * SECOND_MS;

/** Lets what was sent arrive: the network is real, only time is played. */
async function arrivals(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('a client that has gone silent', () => {
  let client: ChildProcess | undefined;
  afterEach(async () => {
    vi.useRealTimers();
    if (client !== undefined) await kill(client);
  });

  it('is cut off within a minute, and its calls are over', { timeout: 60_000 }, async () => {
    const open = new Set<Call>();
    const waits = async (call: Call): Promise<void> => {
      open.add(call);
      await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
      open.delete(call);
    };
    const waitsAndEnds = async function* (_request: unknown, call: Call) {
      await waits(call);
      yield* [];
    };
    const claim = async (_request: unknown, call: Call) => (await waits(call), { jobs: [], decision: ClaimDecision.EMPTY });
    const running = await loopback({
      jobs: { awaitTerminal: waitsAndEnds },
      workers: { claim },
      events: { subscribe: waitsAndEnds },
    });
    // Before the connection comes: its timers are made when it does.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    client = await startClientProcess(running.address, { namespace: 'n', waitingJobId: randomUUID() }, 3);
    expect(open.size).toBeGreaterThan(0);
    const calls = open.size;
    client.kill('SIGSTOP');
    for (let passedMs = 0; passedMs < CUT_AFTER_MS; passedMs += SECOND_MS) {
      expect(open.size).toBe(calls);
      vi.advanceTimersByTime(SECOND_MS);
      await arrivals();
    }
    expect(open.size).toBe(0);
    vi.useRealTimers();
    await running.close();
  });
});
