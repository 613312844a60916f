import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { WorkRequest } from '../../gen/stint/v1/worker_service.ts';
import { Outbox } from '../../src/engine/work/outbox.ts';
import type { OpenWork, WorkMessage, WorkSession } from '../../src/engine/work/work.ts';
import { Call } from '../../src/grpc/call.ts';
import { work } from '../../src/grpc/workers/work.ts';
import { settled } from '../engine/lane.ts';
import { anyCall, StubCall, stubEngine } from './stub-engine.ts';

type Request = Parameters<typeof WorkRequest.fromPartial>[0]['request'];

const open: Request = { $case: 'open', open: { workerId: 'w', queues: ['q', 'q'], credits: 3 } };
const settle = (id: string): Request => ({ $case: 'settle', settle: { id, settlements: [] } });

/** A stream of requests, and the session that it opens, whose settlements take as long as the test likes. */
function stream(...said: readonly Request[]) {
  const messages = new Outbox<WorkMessage>();
  const asked: string[] = [];
  const ends: (() => void)[] = [];
  const opened: OpenWork[] = [];
  const state = { read: 0, endsReading: false, hangs: false, isOver: false };
  const more = new Outbox<Request>();
  const session: WorkSession = {
    messages,
    get isOver() {
      return messages.isEnded;
    },
    setCredits: (credits) => void asked.push(`credits ${credits}`),
    settle: async (id) => {
      asked.push(id);
      await new Promise<void>((resolve) => ends.push(resolve));
    },
    heartbeat: async (beats) => void asked.push(`heartbeat of ${beats.length}`),
    finish: () => messages.end(),
    fail: (cause) => messages.fail(cause),
  };
  const requests = async function* () {
    for (const request of said) {
      state.read += 1;
      yield WorkRequest.fromPartial({ request });
    }
    state.endsReading = true;
    if (!state.hangs) return;
    for await (const request of more) yield WorkRequest.fromPartial({ request });
  };
  const engine = stubEngine({ workers: { work: async (command) => (opened.push(command), session) } });
  const told = (async () => {
    const kinds: string[] = [];
    for await (const { response } of work(engine)(requests(), anyCall())) kinds.push(response?.$case ?? '');
    state.isOver = true;
    return kinds;
  })();
  return { told, asked, ends, opened, state, messages, say: (request: Request) => void more.put(request), sayNoMore: () => more.end() };
}

describe('Work', () => {
  it('opens what is asked for, obeys, and ends once all is answered and the worker says no more', async () => {
    const one = stream(open, { $case: 'credits', credits: 5 }, { $case: 'heartbeat', heartbeat: { heldTokens: ['a', 'b'] } }, settle('s'));
    await settled();
    expect(one.opened).toMatchObject([{ namespace: 'default', workerId: 'w', queues: ['q'], credits: 3, leaseDurationMs: null }]);
    // Who says no more is assigned no more.
    expect(one.asked).toEqual(['credits 5', 'heartbeat of 2', 's', 'credits 0']);
    void one.messages.put({ kind: 'settled', id: 's', results: [] });
    await settled();
    one.ends.forEach((end) => end());
    expect(await one.told).toEqual(['settled']);
  });

  it('reads no further while sixteen requests are under way', async () => {
    const names = Array.from({ length: 40 }, (_, index) => `${index}`);
    const one = stream(open, ...names.map(settle));
    await settled();
    expect([one.asked.length, one.state.read]).toEqual([16, 17]);
    one.ends.shift()?.();
    await settled();
    expect([one.asked.length, one.state.read]).toEqual([17, 18]);
    while (!one.state.endsReading || one.ends.length > 0) {
      one.ends.splice(0).forEach((end) => end());
      await settled();
    }
    expect([one.asked, await one.told]).toEqual([[...names, 'credits 0'], []]);
  });

  it('does nothing that is said after what refused it', async () => {
    const one = stream(open, { $case: 'credits', credits: -1 }, { $case: 'credits', credits: 2 });
    await expect(one.told).rejects.toThrow('invalid_field');
    await settled();
    expect(one.asked).not.toContain('credits 2');
  });

  it('refuses a heartbeat that lists too many before it looks through them', async () => {
    const heldTokens = Array.from({ length: 1_001 }, (_, index) => `${index}`);
    const one = stream(open, { $case: 'heartbeat', heartbeat: { heldTokens, leases: [{ leaseToken: '0' }] } });
    const error = await one.told.catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      refusal: { violations: [{ field: 'heartbeat.held_tokens' }, { field: 'heartbeat.leases[0].lease_token' }] },
    });
  });

  it('is nothing to a client who says nothing', async () => {
    const one = stream();
    expect([await one.told, one.opened]).toEqual([[], []]);
  });

  it('ends behind a reconnect once the worker has ended its side, and answers nothing that has crossed it', async () => {
    const one = stream(open, settle('before'));
    one.state.hangs = true;
    await settled();
    void one.messages.put({ kind: 'reconnect', reason: 'connection_age' });
    one.messages.end();
    one.ends.forEach((end) => end());
    await settled();
    expect(one.state.isOver).toBe(false);
    one.say(settle('crossing'));
    await settled();
    expect([one.state.isOver, one.asked]).toEqual([false, ['before', 'credits 0']]);
    one.sayNoMore();
    expect(await one.told).toEqual(['reconnect']);
  });

  it('ends behind a reconnect a moment later where the worker goes on talking', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const one = stream(open);
    one.state.hangs = true;
    void one.messages.put({ kind: 'reconnect', reason: 'shutting_down' });
    one.messages.end();
    await settled();
    expect(one.state.isOver).toBe(false);
    vi.advanceTimersByTime(2_000);
    expect(await one.told).toEqual(['reconnect']);
  });

  it('is not opened by a worker that is silent until its connection is to end', async () => {
    const ending = new AbortController();
    const carrier = { ending: ending.signal, remainingMs: () => Infinity };
    const silent: AsyncIterable<WorkRequest> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) };
    const call = new Call(new StubCall(), { of: () => carrier });
    const first = work(stubEngine())(silent, call)[Symbol.asyncIterator]().next();
    ending.abort('connection_age');
    await expect(first).rejects.toMatchObject({ refusal: { kind: 'connection_age' } });
  });
});
