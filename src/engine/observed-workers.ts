import type { Job } from '../domain/job.ts';
import type { Result } from '../domain/error.ts';
import type { Engine } from './engine.ts';
import type { WorkerObserver } from './ports/worker-observer.ts';
import type { WorkMessage, WorkSession } from './work/work.ts';
import type { Settled } from './workers/words.ts';

/** The same, with one who watches what workers get and bring back. */
export function observedWorkers(workers: Engine['workers'], observer: WorkerObserver): Engine['workers'] {
  const settling =
    <Command, Value extends { readonly job: Job | null }>(settle: (command: Command) => Promise<Result<Value>>) =>
    async (command: Command): Promise<Result<Value>> => {
      const result = await settle(command);
      observer.onSettled(result.ok && result.value.job !== null ? [result.value.job] : []);
      return result;
    };
  return {
    ...workers,
    claim: async (...asked) => {
      const claimed = await workers.claim(...asked);
      observer.onAssigned(claimed.jobs.map(({ job }) => job));
      return claimed;
    },
    ack: settling(workers.ack),
    fail: settling(workers.fail),
    release: settling(workers.release),
    suspend: settling(workers.suspend),
    settle: async (settlements) => {
      const results = await workers.settle(settlements);
      observer.onSettled(jobsOf(results));
      return results;
    },
    work: async (...asked) => observedSession(await workers.work(...asked), observer),
  };
}

function jobsOf(results: readonly Settled[]): readonly Job[] {
  return results.flatMap((one) => (one.kind !== 'refused' && one.job !== null ? [one.job] : []));
}

function observedSession(session: WorkSession, observer: WorkerObserver): WorkSession {
  return {
    messages: observedMessages(session.messages, observer),
    get isOver() {
      return session.isOver;
    },
    setCredits: (credits) => session.setCredits(credits),
    settle: (id, settlements) => session.settle(id, settlements),
    heartbeat: (beats) => session.heartbeat(beats),
    finish: () => session.finish(),
    fail: (cause) => session.fail(cause),
  };
}

async function* observedMessages(messages: AsyncIterable<WorkMessage>, observer: WorkerObserver): AsyncGenerator<WorkMessage> {
  for await (const message of messages) {
    if (message.kind === 'assigned') observer.onAssigned(message.jobs.map(({ job }) => job));
    if (message.kind === 'settled') observer.onSettled(jobsOf(message.results));
    yield message;
  }
}
