import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { JobFilter } from '../../../src/engine/ports/repository.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const filterOf = (told: Partial<JobFilter> = {}): JobFilter => ({
  namespace: queue.namespace,
  queue: null,
  type: null,
  states: [],
  labels: {},
  createdFrom: null,
  createdBefore: null,
  ...told,
});
const list = async (told: Partial<JobFilter> = {}) =>
  (await stage.repository.listJobs(filterOf(told), 1_000, null)).jobs.map(({ jobId }) => jobId);

describe('a listing', () => {
  it('tells the newest first, each as a read gives it', async () => {
    const ids = await stage.enqueue(queue, {}, { priority: 9 }, { labels: { a: 'b' } });
    const { jobs, nextAfter } = await stage.repository.listJobs(filterOf(), 10, null);
    expect(jobs).toEqual(await stage.repository.getJobs([...ids].reverse()));
    expect(nextAfter).toBeNull();
  });

  it('of a namespace without jobs is empty, also while others have many', async () => {
    await stage.enqueue(queue, {}, {});
    expect(await stage.repository.listJobs(filterOf({ namespace: 'nobody' }), 10, null)).toEqual({ jobs: [], nextAfter: null });
  });

  it('filters by queue, type and labels, and by all of them together', async () => {
    const other = await stage.queue({ name: 'other', namespace: queue.namespace });
    const [plain, typed, labelled, both] = await stage.enqueue(
      queue,
      {},
      { type: 't' },
      { labels: { a: '1', 'q"\\': '→' } },
      { type: 't', labels: { a: '1', b: '2' } },
    );
    const [elsewhere] = await stage.enqueue(other, { type: 't', labels: { a: '1' } });
    expect(await list({ queue: 'q' })).toEqual([both, labelled, typed, plain]);
    expect(await list({ queue: 'nowhere' })).toEqual([]);
    expect(await list({ type: 't' })).toEqual([elsewhere, both, typed]);
    expect(await list({ labels: { a: '1' } })).toEqual([elsewhere, both, labelled]);
    expect(await list({ labels: { 'q"\\': '→' } })).toEqual([labelled]);
    expect(await list({ labels: { a: '1', b: '2' } })).toEqual([both]);
    expect(await list({ queue: 'q', type: 't', labels: { a: '1' } })).toEqual([both]);
    expect(await list({ labels: { a: '' } })).toEqual([]);
  });

  it('filters by states', async () => {
    const [done, running, waiting] = await stage.enqueue(queue, {}, {}, {});
    const [scheduled] = await stage.enqueue(queue, { runAt: stage.now + 1_000_000 });
    const [first] = await stage.claim(queue);
    await stage.claim(queue);
    if (first !== undefined) await stage.repository.ackMany([{ token: tokenOf(first), result: new Uint8Array(), contentType: '' }]);
    expect(await list({ states: ['SUCCEEDED'] })).toEqual([done]);
    expect(await list({ states: ['READY', 'SCHEDULED'] })).toEqual([scheduled, waiting]);
    expect(await list({ states: ['RUNNING', 'LEASED'] })).toEqual([running]);
    expect(await list({ states: ['CANCELLED'] })).toEqual([]);
  });
});

describe('a listing by time', () => {
  it('holds what was enqueued at or after one time and before another, to the microsecond', async () => {
    const [first] = await stage.enqueue(queue, {});
    stage.clock.advance(1);
    const at = stage.now;
    const [second] = await stage.enqueue(queue, {});
    stage.clock.advance(1);
    const [third] = await stage.enqueue(queue, {});
    expect(await list({ createdFrom: at })).toEqual([third, second]);
    expect(await list({ createdFrom: at + 1 })).toEqual([third]);
    expect(await list({ createdBefore: at })).toEqual([first]);
    expect(await list({ createdBefore: at + 1 })).toEqual([second, first]);
    expect(await list({ createdFrom: at, createdBefore: at + 1 })).toEqual([second]);
    expect(await list({ createdFrom: at, createdBefore: at })).toEqual([]);
  });
});

describe('pages', () => {
  /** Every page of `size`, with `between` before each next one. */
  async function pages(size: number, told: Partial<JobFilter>, between: () => Promise<unknown>): Promise<JobId[]> {
    const ids: JobId[] = [];
    for (let after: JobId | null | undefined; after !== null;) {
      const page = await stage.repository.listJobs(filterOf(told), size, after ?? null);
      expect(page.jobs.length).toBeLessThanOrEqual(size);
      ids.push(...page.jobs.map(({ jobId }) => jobId));
      after = page.nextAfter;
      await between();
    }
    return ids;
  }

  it('give every job that stood there at the beginning once, while others come and all of them move', async () => {
    const ids = await stage.enqueue(queue, ...Array.from({ length: 25 }, () => ({})));
    const listed = await pages(4, {}, async () => {
      await stage.enqueue(queue, {}, { runAt: stage.now + 1_000_000 });
      await stage.claim(queue, { maxJobs: 5 });
    });
    expect(listed).toEqual([...ids].reverse());
  });

  it('are complete with a filter that most jobs do not pass', async () => {
    const ids = await stage.enqueue(queue, ...Array.from({ length: 60 }, (_, index) => ({ type: index % 20 === 0 ? 'rare' : 'common' })));
    expect(await pages(2, { type: 'rare' }, async () => {})).toEqual([ids[40], ids[20], ids[0]]);
  });

  it('may be empty and go on: one call looks at 10,000 jobs', async () => {
    const [oldest] = await stage.enqueue(queue, { type: 'needle' });
    for (let batch = 0; batch < 10; batch += 1)
      await stage.enqueue(queue, ...Array.from({ length: 1_000 }, () => ({ payload: new Uint8Array() })));
    const first = await stage.repository.listJobs(filterOf({ type: 'needle' }), 10, null);
    expect(first.jobs).toEqual([]);
    const second = await stage.repository.listJobs(filterOf({ type: 'needle' }), 10, first.nextAfter);
    expect(second.jobs.map(({ jobId }) => jobId)).toEqual([oldest]);
  });
});
