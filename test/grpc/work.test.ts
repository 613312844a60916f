import { describe, expect, it } from 'vitest';
import { WorkRequest } from '../../gen/stint/v1/worker_service.ts';
import { Outbox } from '../../src/engine/work/outbox.ts';
import type { OpenWork, WorkMessage, WorkSession } from '../../src/engine/work/work.ts';
import { work } from '../../src/grpc/workers/work.ts';
import { settled } from '../engine/lane.ts';
import { anyCall, stubEngine } from './stub-engine.ts';

type Request = Parameters<typeof WorkRequest.fromPartial>[0]['request'];

const open: Request = { $case: 'open', open: { workerId: 'w', queues: ['q', 'q'], credits: 3 } };
const settle = (id: string): Request => ({ $case: 'settle', settle: { id, settlements: [] } });

/** A stream of requests, and the session that it opens, whose settlements take as long as the test likes. */
function stream(...said: readonly Request[]) {
  const messages = new Outbox<WorkMessage>();
  const asked: string[] = [];
  const ends: (() => void)[] = [];
  const opened: OpenWork[] = [];
  const state = { read: 0, endsReading: false };
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
  };
  const engine = stubEngine({ workers: { work: async (command) => (opened.push(command), session) } });
  const told = (async () => {
    const kinds: string[] = [];
    for await (const { response } of work(engine)(requests(), anyCall())) kinds.push(response?.$case ?? '');
    return kinds;
  })();
  return { told, asked, ends, opened, state, messages };
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
});
