import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob, Repository } from '../../../src/engine/ports/repository.ts';
import type { WorkMessage, WorkSession } from '../../../src/engine/work/work.ts';
import { listed, SESSION_MS } from '../../support/sessions.ts';
import { engineOn, Gate } from '../engine-on.ts';
import { Stage, tokenOf } from '../stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

/** A stream that holds two jobs of its own queue, both listed once. */
async function working(repository: Repository) {
  const queue = await stage.queue();
  await stage.enqueue(queue, {}, {});
  const gone = new AbortController();
  const session = await openOn(repository, queue, gone.signal);
  const messages = session.messages[Symbol.asyncIterator]();
  const next = async <Kind extends WorkMessage['kind']>(kind: Kind): Promise<Extract<WorkMessage, { kind: Kind }>> => {
    for (;;) {
      const step = await messages.next();
      if (step.done === true) throw new Error(`the stream ended before it told of ${kind}`);
      if (step.value.kind === kind) return step.value as Extract<WorkMessage, { kind: Kind }>;
    }
  };
  const held: ClaimedJob[] = [];
  while (held.length < 2) held.push(...(await next('assigned')).jobs);
  const beat = async (...some: readonly ClaimedJob[]) => {
    void session.heartbeat(some.map(listed));
    return (await next('heartbeat')).outcomes;
  };
  await beat(...held);
  return { session, next, beat, held, end: () => gone.abort() };
}

function openOn(repository: Repository, queue: Queue, signal: AbortSignal): Promise<WorkSession> {
  const { namespace, name } = queue;
  const open = { namespace, workerId: 'w', queues: [name], types: [], credits: 2, leaseDurationMs: SESSION_MS };
  return engineOn(repository).workers.work(open, signal);
}

describe('a job whose worker is told that it has lost the lease', () => {
  it.each([
    ['an ack', 'ack'],
    ['a release', 'release'],
  ] as const)('by the answer to %s goes to another, though the session goes on', async (_, kind) => {
    const lateLoss = () => Promise.resolve([{ kind: 'lease_lost' } as const]);
    const dropped = new Gate();
    const { session, next, beat, held, end } = await working({
      ...stage.repository,
      ackMany: lateLoss,
      releaseMany: lateLoss,
      dropLeases: (items) => stage.repository.dropLeases(items).finally(() => dropped.open()),
    });
    const [lost = expect.unreachable(), other = expect.unreachable()] = held;
    const token = tokenOf(lost);
    const settlement = kind === 'ack' ? { kind, token, result: new Uint8Array(), contentType: '' } : { kind, token, delayMs: 0 };
    void session.settle('s', [settlement]);
    await next('settled');
    await dropped.opened;
    expect(await beat(other)).toMatchObject([{ kind: 'renewed' }]);
    await stage.repository.expireLeases();
    const states = (await stage.repository.getJobs([lost.job.jobId, other.job.jobId])).map((job) => job?.state);
    expect(states).toEqual(['RETRY_WAIT', 'RUNNING']);
    end();
  });
});
