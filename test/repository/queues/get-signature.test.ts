import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type JobId, type JobSpec, NO_TIMEOUTS } from '../../../src/domain/job.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { canonicalJob, canonicalQueue } from '../../../src/domain/signature.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import { Database } from '../../../src/repository/database.ts';
import { signedJobs } from '../../../src/repository/queues/get-signature.ts';
import { policy, slot, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

async function signatureOf(queue: Queue): Promise<string> {
  const jobs = await stage.repository.signedJobs(queue, LIMITS.signedJobs, canonicalJob);
  if (jobs === null) throw new Error('too many jobs');
  return canonicalQueue(jobs);
}

/** Five jobs of different keys and priorities; the first two that are claimed are running. */
class Story {
  readonly queue: Queue;
  readonly ids: readonly JobId[];
  readonly held: readonly ClaimedJob[];

  private constructor(queue: Queue, ids: readonly JobId[], held: readonly ClaimedJob[]) {
    this.queue = queue;
    this.ids = ids;
    this.held = held;
  }

  static async begin(told: Partial<JobSpec> = {}, name = 'q'): Promise<Story> {
    const queue = await stage.queue({ name });
    const specs = [2, 1, 0, 0, 0].map((priority, index): Partial<JobSpec> => ({
      priority,
      idempotency: { key: `k${index}`, scope: 'RETAINED', ttlMs: null },
      retry: policy({ maxAttempts: 2, initialBackoffMs: 1_000, jitter: false }),
    }));
    const ids = await stage.enqueue(queue, ...specs.slice(0, 4), { ...specs[4], ...told });
    return new Story(queue, ids, await stage.claim(queue, { maxJobs: 2 }));
  }

  readonly asked = (index: number, reason = '') => ({
    namespace: this.queue.namespace,
    jobId: this.ids[index] ?? stage.mint.mint(),
    request: null,
    reason,
  });

  token(index: number) {
    const held = this.held[index];
    if (held === undefined) throw new Error('it is not held');
    return { token: tokenOf(held) };
  }
}

type Step = (story: Story) => Promise<unknown>;

const failing = (code: string, kind: 'RETRYABLE' | 'TERMINAL'): Step => {
  const failure = { code, message: String(Math.random()), details: new Uint8Array(), kind };
  return (story) => stage.repository.failMany([{ ...story.token(0), failure, retryAfterMs: null, jitterFactor: 0.7 }]);
};

const STEPS: Record<string, Step> = {
  nothing: async () => undefined,
  'an ack': (story) => stage.repository.ackMany([{ ...story.token(0), result: new Uint8Array(), contentType: '' }]),
  'an ack of another job': (story) => stage.repository.ackMany([{ ...story.token(1), result: new Uint8Array(), contentType: '' }]),
  'a failure to be tried again': failing('one', 'RETRYABLE'),
  'a failure for another reason': failing('two', 'RETRYABLE'),
  'a failure for good': failing('one', 'TERMINAL'),
  'a release': (story) => stage.repository.releaseMany([{ ...story.token(0), delayMs: 0 }]),
  'a release with a delay': (story) => stage.repository.releaseMany([{ ...story.token(0), delayMs: 60_000 }]),
  'a suspension': (story) => stage.repository.suspendMany([{ ...story.token(0), checkpoint: null, reason: 'one' }]),
  'a suspension for another reason': (story) =>
    stage.repository.suspendMany([{ ...story.token(0), checkpoint: Buffer.from('unseen'), reason: 'two' }]),
  'a cancellation of a waiting job': (story) => stage.repository.cancelMany([story.asked(3, 'one')]),
  'a cancellation for another reason': (story) => stage.repository.cancelMany([story.asked(3, 'two')]),
  'a request to cancel': (story) => stage.repository.cancelMany([story.asked(0, 'one')]),
  'a request to cancel, for another reason': (story) => stage.repository.cancelMany([story.asked(0, 'two')]),
  'a request to abandon': (story) => stage.repository.requestAbandonMany([story.asked(0, 'one')]),
  'a new life': async (story) => {
    await stage.repository.cancelMany([story.asked(4, 'one')]);
    await stage.repository.retryMany([story.asked(4, 'one')]);
  },
  'a new life, asked for otherwise': async (story) => {
    await stage.repository.cancelMany([story.asked(4, 'one')]);
    await stage.repository.retryMany([story.asked(4, 'two')]);
  },
  'a higher priority': (story) => stage.repository.updateMany([{ ...story.asked(4), change: { priority: 7 } }]),
  'another claim': (story) => stage.claim(story.queue),
  'a claim that is not started': (story) => stage.claim(story.queue, { startOnClaim: false }),
};

describe('the signature of a queue', () => {
  it('is the same for the same history, in another namespace, at another time, with other workers', { timeout: 60_000 }, async () => {
    for (const [name, step] of Object.entries(STEPS)) {
      const one = await Story.begin();
      await step(one);
      stage.clock.advance(3_333);
      const other = await Story.begin();
      await step(other);
      expect(await signatureOf(other.queue), name).toBe(await signatureOf(one.queue));
    }
  });

  it('is another one after each history that differs', { timeout: 60_000 }, async () => {
    const told = new Map<string, string>();
    for (const [name, step] of Object.entries(STEPS)) {
      const story = await Story.begin();
      await step(story);
      const signature = await signatureOf(story.queue);
      expect(told.get(signature), name).toBeUndefined();
      told.set(signature, name);
    }
  });

  it.each<[string, Partial<JobSpec>]>([
    ['type', { type: 't' }],
    ['key', { idempotency: { key: 'other', scope: 'RETAINED', ttlMs: null } }],
    ['priority', { priority: -1 }],
    ['labels', { labels: { a: 'b' } }],
    ['payload', { payload: Buffer.from('other') }],
    ['media type', { contentType: 'text/plain' }],
    ['disposition', { disposition: 'OWNER_BOUND' }],
    ['disposition, never to be claimed', { disposition: 'EXTERNALLY_OWNED' }],
    ['time', { runAt: Date.UTC(2199, 0) * 1_000 }],
  ])('is another one where a job has another %s', async (_name, spec) => {
    expect(await signatureOf((await Story.begin(spec)).queue)).not.toBe(await signatureOf((await Story.begin()).queue));
  });

  it('holds no id of a job, no header, no deadline and no name of a queue', async () => {
    const told = { headers: { traceparent: String(Math.random()) }, timeouts: { ...NO_TIMEOUTS, scheduleToCloseMs: 9_000_000 } };
    const one = await Story.begin({ ...told, jobId: stage.mint.mint() }, 'elsewhere');
    expect(await signatureOf(one.queue)).toBe(await signatureOf((await Story.begin()).queue));
  });

  it('tells two orders of the backlog apart', async () => {
    const queues = await Promise.all([stage.queue(), stage.queue()]);
    for (const [index, queue] of queues.entries()) {
      const payloads = index === 0 ? ['a', 'b'] : ['b', 'a'];
      await stage.enqueue(queue, ...payloads.map((payload) => ({ payload: Buffer.from(payload) })));
    }
    const [one, other] = await Promise.all(queues.map(signatureOf));
    expect(one).not.toBe(other);
  });

  it('orders the backlog as it would be claimed, not as it was enqueued', async () => {
    const queue = await stage.queue();
    await stage.enqueue(queue, { type: 'low' }, { type: 'high', priority: 1 }, { type: 'later', runAt: stage.now + 1 });
    const jobs = await stage.repository.signedJobs(queue, 10, ({ type }) => type);
    expect(jobs).toEqual({ backlog: ['high', 'low'], others: ['later'] });
  });

  it('sees one instant, whatever moves between two of its looks', async () => {
    const { queue, ids } = await Story.begin();
    const before = await signatureOf(queue);
    const database = new Database({ url: stage.database.url, connections: 1, applicationName: 'test', settings: 'plain' });
    const moving: Pick<Database, 'transaction'> = {
      transaction: (work) =>
        database.transaction((run) =>
          work(async (statement, values) => {
            const rows = await run(statement, values);
            if (statement.name === 'ids-of-queue') await stage.repository.claim([queue], [slot({ maxJobs: ids.length })]);
            return rows;
          }),
        ),
    };
    const jobs = await signedJobs(moving, queue, 10, canonicalJob);
    await database.close();
    expect(jobs === null ? '' : canonicalQueue(jobs)).toBe(before);
    expect(await signatureOf(queue)).not.toBe(before);
  });
});

describe('a queue that is looked through', () => {
  it('has no more jobs than the limit, or is not told', async () => {
    const queue = await stage.queue();
    await stage.enqueue(queue, {}, {}, {});
    expect(await stage.repository.signedJobs(queue, 2, () => 0)).toBeNull();
    expect(await stage.repository.signedJobs(queue, 3, () => 0)).toEqual({ backlog: [0, 0, 0], others: [] });
  });

  it('is found among the jobs of others, over as many looks as it takes', { timeout: 60_000 }, async () => {
    const [queue, other] = [await stage.queue(), await stage.queue()];
    for (let batch = 0; batch < 21; batch += 1) {
      await stage.enqueue(queue, { type: `t${batch}` });
      await stage.enqueue(other, ...Array.from({ length: 1_000 }, () => ({ payload: new Uint8Array() })));
    }
    const jobs = await stage.repository.signedJobs(queue, 100, ({ type }) => type);
    expect(jobs).toEqual({ backlog: Array.from({ length: 21 }, (_, batch) => `t${batch}`), others: [] });
  });
});
