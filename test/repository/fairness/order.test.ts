/** Within a priority keys are served in turn, each as often as its weight says. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue, QueueSettings } from '../../../src/domain/queue.ts';
import { idsOf, Stage, tokenOf } from '../../engine/stage.ts';
import { counted, keptKeys, lay, serve, weigh } from './ground.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const a = { fairnessKey: 'a' };
const b = { fairnessKey: 'b' };
const c = { fairnessKey: 'c' };
const keyless = {};
const order = async (count: number) => (await serve(stage, queue, count)).map((key) => key || '-').join('');

describe('keys that have a backlog', () => {
  it('are served in turn, though one came after the other', async () => {
    await lay(stage, queue, 6, a);
    await lay(stage, queue, 4, b);
    await lay(stage, queue, 2, c);
    expect(await order(12)).toBe('abcabcababaa');
  });

  it('are served in turn, though they came in one batch', async () => {
    await stage.enqueue(queue, a, a, a, b, c, c);
    expect(await order(6)).toBe('abcaca');
  });

  it('share each stretch of 70 claims by their weights of 1, 2 and 4, of one backlog', { timeout: 60_000 }, async () => {
    await weigh(stage, queue, { b: 2, c: 4 });
    await lay(stage, queue, 300, a);
    await lay(stage, queue, 600, b);
    await lay(stage, queue, 1_200, c);
    for (let window = 1; window < 30; window += 1) {
      expectShares(await serve(stage, queue, 70), 1, `window ${window}`);
    }
  });

  it('share it so while more comes in, however unevenly', { timeout: 60_000 }, async () => {
    await weigh(stage, queue, { b: 2, c: 4 });
    const told = { a: 70, b: 70, c: 70 };
    for (const [key, count] of Object.entries(told)) await lay(stage, queue, count * 3, { fairnessKey: key });
    for (let window = 1; window < 20; window += 1) {
      // `a` brings five times what it is given, the others just that.
      await Promise.all([lay(stage, queue, 50, a), lay(stage, queue, 20, b), lay(stage, queue, 40, c)]);
      expectShares(await serve(stage, queue, 70), 2, `window ${window}`);
    }
  });

  function expectShares(keys: readonly string[], tolerance: number, what: string): void {
    const shares = counted(keys);
    for (const [key, share] of Object.entries({ a: 10, b: 20, c: 40 })) {
      expect(Math.abs((shares[key] ?? 0) - share), `${what}: ${JSON.stringify(shares)}`).toBeLessThanOrEqual(tolerance);
    }
  }

  it('take a changed weight from the next job on', async () => {
    await lay(stage, queue, 4, a);
    await lay(stage, queue, 2, b);
    await weigh(stage, queue, { b: 2 });
    await lay(stage, queue, 4, b);
    expect(await order(10)).toBe('abababbabb');
  });
});

describe('the first job of a key', () => {
  it('comes second behind a backlog of 20,000 of another, and so do those of more keys, in their order', { timeout: 120_000 }, async () => {
    await lay(stage, queue, 20_000, a);
    await stage.enqueue(queue, b, b, c);
    expect(await order(6)).toBe('abcaba');
  });

  it('waits for one job of each key that has a backlog, wherever those stand', { timeout: 60_000 }, async () => {
    const keys = Array.from({ length: 20 }, (_, n) => ({ fairnessKey: `k${n}` }));
    for (const key of keys) await lay(stage, queue, 30, key);
    for (let round = 0; round < 10; round += 1) {
      await serve(stage, queue, 7 * round + 3);
      await stage.enqueue(queue, { fairnessKey: `late${round}` });
      const served = await serve(stage, queue, 21);
      const before = served.slice(0, served.indexOf(`late${round}`));
      expect(served).toContain(`late${round}`);
      for (const count of Object.values(counted(before))) expect(count).toBe(1);
    }
  });

  it('waits for as many jobs of a heavy key as its weight says, at most', async () => {
    await weigh(stage, queue, { a: 3 });
    await lay(stage, queue, 20, a);
    await serve(stage, queue, 2);
    await stage.enqueue(queue, b);
    expect(await order(5)).toBe('aaaba');
  });

  it('takes no credit for the time when its key had no jobs', async () => {
    await stage.enqueue(queue, b);
    await lay(stage, queue, 50, a);
    await serve(stage, queue, 30);
    await lay(stage, queue, 10, b);
    expect(await order(8)).toMatch(/^(ab){4}$/);
  });
});

describe('the order of priorities', () => {
  it('comes before that of keys, and keys have their turns within each', async () => {
    await stage.enqueue(queue, a, a, a, b, { ...a, priority: 5 }, { ...a, priority: 5 }, { ...b, priority: 5 });
    await lay(stage, queue, 2, { ...c, priority: -1 });
    const given = await stage.claim(queue, { maxJobs: 9 });
    expect(given.map(({ job }) => `${job.fairnessKey}${job.priority}`).join(' ')).toBe('a5 b5 a5 a0 b0 a0 a0 c-1 c-1');
  });

  it('has an updated job come to the end of its key', async () => {
    const [moved] = await stage.enqueue(queue, a, a);
    await lay(stage, queue, 3, { ...a, priority: 1 });
    await lay(stage, queue, 3, { ...b, priority: 1 });
    const item = { namespace: queue.namespace, jobId: moved ?? expect.unreachable(), request: null, change: { priority: 1 } };
    expect(await stage.repository.updateMany([item])).toMatchObject([{ kind: 'applied' }]);
    const given = await stage.claim(queue, { maxJobs: 8 });
    expect(given.map(({ job }) => job.fairnessKey).join('')).toBe('abababaa');
    expect(given[6]?.job.jobId).toBe(moved);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('jobs without a key', () => {
  it('are plain FIFO where no keys are in use, and leave no row of a key', async () => {
    const ids = [...(await lay(stage, queue, 30, keyless)), ...(await lay(stage, queue, 30, keyless))];
    expect(idsOf(await stage.claim(queue, { maxJobs: 60 }))).toEqual(ids);
    expect(await keptKeys(stage, queue)).toEqual([]);
  });

  it('are one more key where others are in use', async () => {
    await lay(stage, queue, 5, a);
    await lay(stage, queue, 3, keyless);
    await lay(stage, queue, 2, b);
    expect(await order(10)).toBe('a-ba-ba-aa');
  });

  it('are so in the batch that brings the first key', async () => {
    await stage.enqueue(queue, a, a, a, keyless, keyless);
    expect(await order(5)).toBe('a-a-a');
  });

  it('wait for one round of a backlog of keys', { timeout: 60_000 }, async () => {
    await lay(stage, queue, 3_000, a);
    await lay(stage, queue, 1_000, b);
    await stage.enqueue(queue, keyless);
    expect(await order(4)).toMatch(/^..?-/);
  });

  it('that were there before the first key do not have a later one overtake them', async () => {
    const former = await lay(stage, queue, 50, keyless);
    await stage.enqueue(queue, a);
    const later = await lay(stage, queue, 5, keyless);
    const given = await stage.claim(queue, { maxJobs: 56 });
    expect(given[1]?.job.fairnessKey).toBe('a');
    expect(idsOf(given.filter(({ job }) => job.fairnessKey === ''))).toEqual([...former, ...later]);
  });

  it('of another priority or queue go on without a row', async () => {
    await stage.enqueue(queue, { ...a, priority: 1 });
    await lay(stage, queue, 2, keyless);
    const rows = await stage.sql`select rank::int, key from stint.fair where queue_id = ${queue.id} order by key`;
    expect(rows).toEqual([
      { rank: -1, key: '' },
      { rank: -1, key: 'a' },
    ]);
  });
});

describe('a job that is there already', () => {
  it('has its key pay nothing for it', async () => {
    const jobId = stage.mint.mint();
    const idempotency = { key: 'once', scope: 'RETAINED', ttlMs: null } as const;
    await stage.enqueue(queue, { ...a, jobId }, { ...a, idempotency });
    for (let call = 0; call < 20; call += 1) {
      await stage.repository.enqueueMany([stage.item(queue, { ...a, jobId }), stage.item(queue, { ...a, idempotency })]);
    }
    await lay(stage, queue, 4, b);
    await lay(stage, queue, 2, a);
    expect(await order(8)).toBe('ababbaba');
  });
});

describe('a key', () => {
  it('is told of a job wherever it goes: its retries, its dead letter, the next life and the copy', async () => {
    const { namespace } = queue;
    const change = (former: QueueSettings) => ({ settings: { ...former, deadLetterQueue: 'copies' } });
    await stage.repository.putQueue({ namespace, name: queue.name, change, actor: 'test', request: null });
    const [jobId] = await stage.enqueue(queue, { ...a, retry: { ...stage.item(queue).spec.retry, maxAttempts: 2 } });
    if (jobId === undefined) throw new Error('nothing was enqueued');
    for (const retryAfterMs of [0, null]) {
      const [held] = await stage.claim(queue);
      if (held === undefined) throw new Error('nothing was given');
      expect(held.job.fairnessKey).toBe('a');
      const failure = { code: 'x', message: '', details: Buffer.alloc(0), kind: 'RETRYABLE' } as const;
      await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs, jitterFactor: 1 }]);
      await stage.repository.promoteDue();
    }
    expect(await stage.job(jobId)).toMatchObject({ state: 'FAILED', fairnessKey: 'a' });
    const [copies] = await stage.repository.resolveQueues([{ namespace, name: 'copies' }]);
    const [copy] = await stage.claim(copies ?? expect.unreachable());
    expect(copy?.job).toMatchObject({ fairnessKey: 'a', headers: { 'stint-dead-letter-of': jobId } });
    await stage.repository.retryMany([{ namespace, jobId, reason: '', request: null }]);
    const [again] = await stage.claim(queue);
    expect(again?.job).toMatchObject({ jobId, fairnessKey: 'a', life: 2 });
    expect(await stage.violations(namespace)).toEqual([]);
  });
});
