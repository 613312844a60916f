import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NO_TIMEOUTS } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { idsOf, slot, Stage, tokenOf } from '../../engine/stage.ts';

const MiB = 1024 * 1024;

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const many = (count: number) => Array.from({ length: count }, () => ({}));
const sizesOf = (claimed: readonly { readonly payload: Uint8Array }[]) => claimed.map(({ payload }) => payload.byteLength);

describe('a claim', () => {
  it('leases for the time it asks for, else for the time of the queue', async () => {
    await stage.enqueue(queue, {}, {});
    const [asked] = await stage.claim(queue, { leaseDurationMs: 9_000 });
    const [open] = await stage.claim(queue);
    expect(asked?.lease).toMatchObject({ ttlMs: 9_000, expiresAt: stage.now + 9_000_000, heartbeatIntervalMs: 3_000, attempt: 1 });
    expect(open?.lease).toMatchObject({ ttlMs: 30_000, expiresAt: stage.now + 30_000_000, heartbeatIntervalMs: 10_000 });
  });

  it('hands jobs to the slots in turn: the first gets the first', async () => {
    const ids = await stage.enqueue(queue, ...many(6));
    const slots = [
      slot({ workerId: 'a', maxJobs: 2 }),
      slot({ workerId: 'b', maxJobs: 3, startOnClaim: false }),
      slot({ workerId: 'c', maxJobs: 4 }),
    ];
    const { jobs: given } = await stage.repository.claim([queue], slots);
    expect(given.map(idsOf)).toEqual([ids.slice(0, 2), ids.slice(2, 5), ids.slice(5)]);
    expect(given.flat().map(({ job }) => `${job.workerId} ${job.state}`)).toEqual([
      'a RUNNING',
      'a RUNNING',
      'b LEASED',
      'b LEASED',
      'b LEASED',
      'c RUNNING',
    ]);
    expect(new Set(given.flat().map((one) => tokenOf(one).secret)).size).toBe(3);
  });

  it('gives no job that has waited too long, whether or not it was swept', async () => {
    const timeouts = { ...NO_TIMEOUTS, scheduleToStartMs: 1_000 };
    const [late, , open] = await stage.enqueue(queue, { timeouts }, { timeouts }, {});
    stage.clock.advance(999);
    expect(idsOf(await stage.claim(queue))).toEqual([late]);
    stage.clock.advance(1);
    expect(idsOf(await stage.claim(queue, { maxJobs: 2 }))).toEqual([open]);
  });

  it('of an empty queue is empty', async () => {
    expect(await stage.repository.claim([queue], [slot(), slot()])).toEqual({ jobs: [[], []], limits: [], oneSlot: false });
  });

  it('raises the fence with every claim of a job, and the attempt too', async () => {
    await stage.enqueue(queue, {});
    const fences = [];
    for (let turn = 1; turn <= 3; turn += 1) {
      const [held] = await stage.claim(queue);
      if (held === undefined) throw new Error('nothing was claimed');
      expect(held.job.attempt).toBe(1);
      fences.push(held.job.fence);
      await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    }
    expect(fences).toEqual([...fences].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(fences).size).toBe(3);
    expect((fences[0] ?? 0n) >> 32n).toBeGreaterThan(0n);
  });

  it('passes over what a stranger has locked, and takes the next', async () => {
    const ids = await stage.enqueue(queue, ...many(3));
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.ready where job = ${ids[0] ?? ''} for update`);
    expect(idsOf(await stage.claim(queue, { maxJobs: 2 }))).toEqual(ids.slice(1));
    await stranger.rollback();
    expect(idsOf(await stage.claim(queue, { maxJobs: 2 }))).toEqual(ids.slice(0, 1));
  });
});

describe('a claim from several queues', () => {
  it('takes from them as from one: by priority, then by position', async () => {
    const other = await stage.queue({ name: 'other', namespace: queue.namespace });
    const [q1] = await stage.enqueue(queue, {});
    const [o1, o2] = await stage.enqueue(other, {}, { priority: 1 });
    const [q2, q3] = await stage.enqueue(queue, { priority: 1 }, {});
    const [o3] = await stage.enqueue(other, { priority: -1 });
    expect(idsOf(await stage.claim([queue, other], { maxJobs: 4 }))).toEqual([o2, q2, q1, o1]);
    expect(idsOf(await stage.claim([queue, other], { maxJobs: 4 }))).toEqual([q3, o3]);
  });

  it('takes from the others when a stranger holds the best of all, and no more than is wanted', async () => {
    const others = [await stage.queue(), await stage.queue()];
    await stage.enqueue(queue, { priority: 9 }, { priority: 9 });
    const ids = [];
    for (const other of [...others, ...others]) ids.push(...(await stage.enqueue(other, {})));
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.ready where queue_id = ${queue.id} for update`);
    expect(idsOf(await stage.claim([queue, ...others], { maxJobs: 2 }))).toEqual(ids.slice(0, 2));
    expect(idsOf(await stage.claim([queue, ...others], { maxJobs: 2 }))).toEqual(ids.slice(2));
    await stranger.rollback();
  });

  it('leaves every other queue alone', async () => {
    const [other, third] = [await stage.queue(), await stage.queue()];
    await stage.enqueue(third, {});
    expect(await stage.claim([queue, other], { maxJobs: 10 })).toEqual([]);
  });
});

describe('the size of what a claim answers', () => {
  const big = { payload: Buffer.alloc(MiB) };

  it('stays below 3 MiB: jobs that do not fit are not claimed', async () => {
    const ids = await stage.enqueue(queue, big, big, big, big, big);
    const turns = [];
    for (let left = 5; left > 0; left -= turns.at(-1)?.length ?? 5) turns.push(await stage.claim(queue, { maxJobs: 10 }));
    expect(turns.map((turn) => turn.length)).toEqual([2, 2, 1]);
    expect(turns.flatMap(idsOf)).toEqual(ids);
    for (const turn of turns) expect(sizesOf(turn).reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(3 * MiB);
    expect(turns.flat().every(({ job }) => job.attempt === 1)).toBe(true);
  });

  it('always has room for one job', async () => {
    await stage.enqueue(queue, big);
    expect(await stage.claim(queue)).toHaveLength(1);
  });

  it('is kept also where a stranger holds the small jobs and only large ones are left', async () => {
    const ids = await stage.enqueue(queue, {}, {}, {}, {}, big, big, big, big);
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.ready where job = any(${ids.slice(0, 4)}) for update`);
    expect(idsOf(await stage.claim(queue, { maxJobs: 4 }))).toEqual(ids.slice(4, 6));
    await stranger.rollback();
  });

  it('keeps the order: no small job overtakes one that does not fit', async () => {
    const ids = await stage.enqueue(queue, {}, big, {}, big, {}, big, {});
    expect(idsOf(await stage.claim(queue, { maxJobs: 10 }))).toEqual(ids.slice(0, 4));
    expect(idsOf(await stage.claim(queue, { maxJobs: 10 }))).toEqual(ids.slice(4));
  });

  it('counts headers, labels and the checkpoint of a former try', async () => {
    const ids = await stage.enqueue(queue, ...Array.from({ length: 60 }, () => ({ headers: { h: 'x'.repeat(12_000) } })));
    const first = await stage.claim(queue, { maxJobs: 100 });
    expect(first.length).toBeLessThan(60);
    await stage.repository.heartbeatMany(first.map((one) => ({ token: tokenOf(one), checkpoint: Buffer.alloc(64 * 1024) })));
    await stage.repository.releaseMany(first.map((one) => ({ token: tokenOf(one), delayMs: 0 })));
    const again = await stage.claim(queue, { maxJobs: 100 });
    expect(again.length).toBeLessThan(first.length);
    expect(idsOf(again)).toEqual(ids.slice(0, again.length));
    const bytes = again.reduce((sum, one) => sum + (one.checkpoint?.byteLength ?? 0) + 12_000, 0);
    expect(bytes).toBeGreaterThan(MiB);
    expect(bytes).toBeLessThan(3 * MiB);
  });
});

describe('the leases of a request', () => {
  const request = (requestId: string) => stage.repository.leasesOfRequest(queue.namespace, 'w', requestId);

  it('are found again, unchanged and in dispatch order', async () => {
    await stage.enqueue(queue, ...many(5));
    const given = await stage.claim(queue, { maxJobs: 3, requestId: 'r"\\' });
    await stage.claim(queue, { maxJobs: 2, requestId: 'other' });
    expect(await request('r"\\')).toEqual(given);
  });

  it('belong to one namespace and one worker', async () => {
    await stage.held(queue, { claim: { requestId: 'r' } });
    expect(await stage.repository.leasesOfRequest(queue.namespace, 'v', 'r')).toEqual([]);
    expect(await stage.repository.leasesOfRequest('nowhere', 'w', 'r')).toEqual([]);
    expect(await request('s')).toEqual([]);
  });

  it('are not found once settled, nor once past their grace', async () => {
    await stage.enqueue(queue, {}, {});
    const [first, second] = await stage.claim(queue, { maxJobs: 2, requestId: 'r', leaseDurationMs: 1_000 });
    if (first === undefined || second === undefined) throw new Error('nothing was claimed');
    await stage.repository.ackMany([{ token: tokenOf(first), result: new Uint8Array(), contentType: '' }]);
    expect(await request('r')).toEqual([second]);
    stage.clock.advance(5_999);
    expect(await request('r')).toEqual([second]);
    stage.clock.advance(1);
    expect(await request('r')).toEqual([]);
  });
});
