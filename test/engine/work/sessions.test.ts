/** The sessions of a replica: who may open one, and who is told what. */
import { describe, expect, it } from 'vitest';
import { RefusalError } from '../../../src/domain/error.ts';
import type { WorkedQueue } from '../../../src/engine/ports/work.ts';
import type { OpenWork, WorkMessage } from '../../../src/engine/work/work.ts';
import { Sessions } from '../../../src/engine/work/sessions.ts';
import { settled } from '../lane.ts';
import { Calls } from './calls.ts';
import { eventOf, jobs, openOf, Parts, queueOf } from './session-scene.ts';

class Replica {
  readonly parts = new Parts();
  readonly queues = new Calls<{ readonly namespace: string; readonly names: readonly string[] }, readonly WorkedQueue[]>();
  readonly draining = new AbortController();
  readonly failures: string[] = [];
  readers = 0;
  readonly sessions: Sessions;

  constructor() {
    const { claims, settlements, heartbeat, looks, drops, beats, heartbeats } = this.parts;
    this.sessions = new Sessions({
      claim: (claim, signal) => claims.call({ claim, maxJobs: claim.maxJobs, signal }),
      giveBack: (given) => this.parts.giveBack(given),
      ...{ settle: settlements.call, heartbeat, looks, drops, beats, heartbeats, onDropped: () => undefined },
      store: { workedQueues: (namespace, names) => this.queues.call({ namespace, names }) },
      log: {
        keepReading: () => {
          this.readers += 1;
          return { close: () => (this.readers -= 1) };
        },
      },
      draining: this.draining.signal,
      onFailure: (what) => this.failures.push(what),
    });
  }

  async open(told: Partial<OpenWork> = {}, found: readonly WorkedQueue[] = [queueOf()]) {
    const gone = new AbortController();
    const opening = this.sessions.open(openOf(told), gone.signal);
    (await this.queues.next()).answer(found);
    return { session: await opening, gone };
  }

  async refusal(found: readonly WorkedQueue[], queues: readonly string[]) {
    const opening = this.sessions.open(openOf({ queues }), new AbortController().signal);
    (await this.queues.next()).answer(found);
    const error = await opening.catch((cause: unknown) => cause);
    return error instanceof RefusalError ? error.refusal : error;
  }
}

async function read(messages: AsyncIterable<WorkMessage>): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { kind } of messages) kinds.push(kind);
  return kinds;
}

/** The n-th message. */
async function first(messages: AsyncIterable<WorkMessage>, n: number): Promise<IteratorResult<WorkMessage>> {
  const reader = messages[Symbol.asyncIterator]();
  for (let left = n - 1; left > 0; left -= 1) await reader.next();
  return reader.next();
}

const pullOnly = (name: string) => queueOf({ name, isPullOnly: true });

describe('a session', () => {
  it('is refused where every queue answers Claim only, and not where one is not there yet', async () => {
    const replica = new Replica();
    const both = ['a', 'b'];
    expect(await replica.refusal([pullOnly('a'), pullOnly('b')], both)).toEqual({ kind: 'mode_mismatch', queues: both });
    expect(await replica.refusal([pullOnly('a'), queueOf({ name: 'b' })], both)).not.toHaveProperty('kind');
    expect(await replica.refusal([pullOnly('a')], both)).not.toHaveProperty('kind');
  });

  it('is refused where the service has begun to stop while its queues were looked at', async () => {
    const replica = new Replica();
    const opening = replica.refusal([queueOf()], ['q']);
    replica.draining.abort();
    expect(await opening).toEqual({ kind: 'shutting_down' });
    expect(replica.readers).toBe(0);
  });

  it('knows of what an operator did while it opened', async () => {
    const replica = new Replica();
    const opening = replica.sessions.open(openOf({ credits: 0 }), new AbortController().signal);
    const early = await replica.queues.next();
    replica.sessions.onQueues();
    early.answer([queueOf()]);
    (await replica.queues.next()).answer([queueOf({ isDraining: true })]);
    const { value } = await first((await opening).messages, 2);
    expect(value).toEqual({ kind: 'drain', queue: 'q' });
  });

  it('keeps the log read, until the last of them is over', async () => {
    const replica = new Replica();
    const [first, second] = [await replica.open({ credits: 0 }), await replica.open({ credits: 0 })];
    expect(replica.readers).toBe(1);
    first.gone.abort();
    await settled();
    expect(replica.readers).toBe(1);
    second.gone.abort();
    await replica.sessions.idle();
    expect(replica.readers).toBe(0);
  });

  it('hears of events of its own jobs, and of none once it is over', async () => {
    const replica = new Replica();
    const [one, other] = [await replica.open(), await replica.open()];
    for (const { session } of [one, other]) void read(session.messages);
    const given = jobs(2);
    for (const job of given) (await replica.parts.claims.next()).answer({ jobs: [job], decision: 'ASSIGNED' });
    await settled();
    const ends = () => given.map((job) => eventOf(job, { detail: { type: 'succeeded', evidence: null }, state: 'SUCCEEDED' }));
    replica.sessions.onEvents(ends().slice(0, 1));
    const look = await replica.parts.lookedAt.next();
    expect(look.asked).toHaveLength(1);
    look.answer([{ kind: 'live', cancelDeadline: null }]);
    await settled();
    one.gone.abort();
    other.gone.abort();
    await replica.sessions.idle();
    replica.sessions.onEvents(ends());
    replica.sessions.lookAgain();
    await settled();
    expect(replica.parts.lookedAt.unseen).toBe(0);
  });
});

describe('queues that an operator has changed', () => {
  it('are looked at once for all sessions of the same, and each is told', async () => {
    const replica = new Replica();
    const opened = [
      await replica.open({ credits: 0 }),
      await replica.open({ credits: 0 }),
      await replica.open({ credits: 0, queues: ['b'] }),
    ];
    const told = opened.map(({ session }) => read(session.messages));
    replica.sessions.onQueues();
    const [first, second] = [await replica.queues.next(), await replica.queues.next()];
    expect([first.asked.names, second.asked.names, replica.queues.unseen]).toEqual([['q'], ['b'], 0]);
    first.answer([queueOf({ isDraining: true })]);
    second.crash(new Error('gone'));
    await settled();
    for (const { session } of opened) session.finish();
    const drained = ['opened', 'drain'];
    expect([await Promise.all(told), replica.failures]).toEqual([[drained, drained, ['opened']], ['look at the queues of a session']]);
  });
});

describe('a service that stops', () => {
  it('has told every session to go elsewhere once it has drained', async () => {
    const replica = new Replica();
    const told = [await replica.open({ credits: 0 }), await replica.open({ credits: 0 })].map(({ session }) => read(session.messages));
    await replica.sessions.drain();
    expect(await Promise.all(told)).toEqual(told.map(() => ['opened', 'reconnect']));
    expect(replica.readers).toBe(0);
  });
});
