/** State and event are one commit: wherever the process that writes them dies, both are there or neither. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobEvent } from '../../../src/domain/event.ts';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { Database, type Run } from '../../../src/repository/database.ts';
import { enqueueMany } from '../../../src/repository/jobs/enqueue-many.ts';
import { expireLeases } from '../../../src/repository/upkeep/expire-leases.ts';
import { promoteDue } from '../../../src/repository/upkeep/promote-due.ts';
import { ackMany } from '../../../src/repository/workers/ack.ts';
import { claim } from '../../../src/repository/workers/claim.ts';
import { failMany } from '../../../src/repository/workers/fail.ts';
import { releaseMany } from '../../../src/repository/workers/release.ts';
import { startMany } from '../../../src/repository/workers/start.ts';
import { slot, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
let database: Database;
beforeAll(async () => {
  stage = await Stage.open();
  database = new Database({ url: stage.database.url, connections: 1, applicationName: 'one that dies', settings: 'hot' });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(async () => {
  await database.close();
  await stage.close();
});

class Died extends Error {}

/** The storage as a process has it that dies when so many statements are done. */
function dyingAfter(statements: number): Run {
  let done = 0;
  return async (statement, values) => {
    if (done === statements) throw new Died();
    done += 1;
    return database.run(statement, values);
  };
}

const now = () => stage.clock.now().toISOString();
const failure = { code: 'x', message: '', details: new Uint8Array(), kind: 'RETRYABLE' as const };
const one = (jobIds: readonly JobId[]) => jobIds[0] ?? stage.mint.mint();

async function holding(startOnClaim = true) {
  const held = await stage.held(queue, { claim: { startOnClaim } });
  return { jobId: held.job.jobId, token: tokenOf(held) };
}

/** Each brings a job to where the write begins, and tells the job and the write. */
type Scene = () => Promise<{ readonly jobId: JobId; readonly write: (run: Run) => Promise<unknown> }>;

const scenes: Readonly<Record<string, Scene>> = {
  enqueue: async () => {
    const item = stage.item(queue, { idempotency: { key: stage.mint.mint(), scope: 'RETAINED', ttlMs: null } });
    return { jobId: item.jobId, write: (run) => enqueueMany(run, now(), [item]) };
  },
  claim: async () => ({ jobId: one(await stage.enqueue(queue, {})), write: (run) => claim(run, now(), [queue], [slot()]) }),
  start: async () => {
    const { jobId, token } = await holding(false);
    return { jobId, write: (run) => startMany(run, now(), [{ token }]) };
  },
  ack: async () => {
    const { jobId, token } = await holding();
    return { jobId, write: (run) => ackMany(run, now(), [{ token, result: Buffer.from('r'), contentType: '' }]) };
  },
  failure: async () => {
    const { jobId, token } = await holding();
    return { jobId, write: (run) => failMany(run, now(), [{ token, failure, retryAfterMs: 0, jitterFactor: 1 }]) };
  },
  release: async () => {
    const { jobId, token } = await holding();
    return { jobId, write: (run) => releaseMany(run, now(), [{ token, delayMs: 0 }]) };
  },
  expiry: async () => {
    const { jobId } = await holding();
    stage.clock.advance(60_000);
    return { jobId, write: (run) => expireLeases(run, now(), 10, () => 1) };
  },
  promotion: async () => {
    const jobId = one(await stage.enqueue(queue, { runAt: stage.now + 1_000_000 }));
    stage.clock.advance(1_000);
    return { jobId, write: (run) => promoteDue(run, now(), 10) };
  },
};

/** What the journal tells of a job. */
async function told(jobId: JobId): Promise<readonly JobEvent[]> {
  const { journal } = stage.store;
  const { epoch } = await journal.head();
  const events: JobEvent[] = [];
  for (let position: Parameters<typeof journal.read>[0] = { epoch, seen: null, window: null }; ;) {
    const chunk = await journal.read(position, null);
    events.push(...chunk.events.map(({ event }) => event).filter((event) => event.jobId === jobId));
    position = chunk.position;
    if (chunk.complete) return events;
  }
}

describe('a process that dies between any two of its statements', () => {
  it.each(Object.keys(scenes))('leaves of its %s the state and the event, or neither', async (name) => {
    for (let statements = 0, died = true; died; statements += 1) {
      const scene = await scenes[name]?.();
      if (scene === undefined) throw new Error(`no scene ${name}`);
      died = await scene.write(dyingAfter(statements)).then(
        () => false,
        (error: unknown) => {
          if (!(error instanceof Died)) throw error;
          return true;
        },
      );
      const history = await stage.repository.history(scene.jobId, 0, 100);
      expect(await told(scene.jobId), `after ${statements} statements`).toEqual(history?.events ?? []);
      expect(await stage.violations(queue.namespace)).toEqual([]);
    }
  });
});
