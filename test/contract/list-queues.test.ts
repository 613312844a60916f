import { describe, expect, it } from 'vitest';
import type { Queue } from '../../gen/stint/v1/queue.ts';
import { type Scene, useService } from './scene.ts';
import { codeOf, refusal } from './stint.ts';

const scene = useService();

const put = ({ stint, namespace }: Scene, ...names: string[]) =>
  Promise.all(names.map((name, index) => stint.putQueue({ namespace, queue: { name, maxQueued: index + 1 } })));

const namesOf = (queues: readonly Queue[]) => queues.map(({ name }) => name);

/** Each page's queues, until there is no next one. */
async function pages({ stint, namespace }: Scene, pageSize: number, between = async () => {}): Promise<readonly Queue[][]> {
  const found: Queue[][] = [];
  for (let pageToken: string | undefined; pageToken !== '';) {
    const page = await stint.listQueues({ namespace, pageSize, pageToken: pageToken ?? '' });
    found.push(page.queues);
    pageToken = page.nextPageToken;
    await between();
  }
  return found;
}

describe('ListQueues', () => {
  it('tells the queues of a namespace by name, ascending, each as GetQueue does', async () => {
    const one = scene();
    await put(one, 'q2', 'q10', 'a', 'z');
    await one.enqueue({ queue: 'made-by-a-job' });
    const { queues, nextPageToken } = await one.stint.listQueues({ namespace: one.namespace });
    expect(nextPageToken).toBe('');
    expect(namesOf(queues)).toEqual(['a', 'made-by-a-job', 'q10', 'q2', 'z']);
    const read = await Promise.all(queues.map(({ name }) => one.stint.getQueue({ namespace: one.namespace, queue: name })));
    expect(read.map(({ queue }) => queue)).toEqual(queues);
  });

  it('tells nothing of a namespace that has none, and nothing of another', async () => {
    const [one, another] = [scene(), scene()];
    await put(one, 'a');
    expect(await another.stint.listQueues({ namespace: another.namespace })).toEqual({ queues: [], nextPageToken: '' });
    await put(another, 'b');
    expect(namesOf((await one.stint.listQueues({ namespace: one.namespace })).queues)).toEqual(['a']);
  });

  it('gives a hundred where the page size is not told', async () => {
    const one = scene();
    const names = Array.from({ length: 101 }, (_, n) => `q${String(n).padStart(3, '0')}`);
    await one.stint.enqueueBatch({ namespace: one.namespace, jobs: names.map((queue) => ({ queue })) });
    expect((await pages(one, 0)).map((page) => page.length)).toEqual([100, 1]);
    expect((await pages(one, 1_000)).map(namesOf)).toEqual([names]);
  });

  it.each([1, 2, 3, 6])('gives each queue once in pages of %d', async (pageSize) => {
    const one = scene();
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    await put(one, ...names);
    const found = await pages(one, pageSize);
    for (const page of found) expect(page.length).toBeLessThanOrEqual(pageSize);
    expect(namesOf(found.flat())).toEqual(names);
    expect(found.flat()).toEqual((await one.stint.listQueues({ namespace: one.namespace })).queues);
  });

  it('goes on behind the last name, whatever has come before it since', async () => {
    const one = scene();
    await put(one, 'b', 'd', 'f');
    const found = await pages(one, 2, async () => {
      await put(one, 'a', 'e');
    });
    expect(found.map(namesOf)).toEqual([['b', 'd'], ['e', 'f'], ...(found.length === 3 ? [[]] : [])]);
  });

  it('follows no token of another namespace or of another listing, and none that it has not given', async () => {
    const [one, another] = [scene(), scene()];
    for (const { stint, namespace } of [one, another]) {
      await stint.enqueueBatch({ namespace, jobs: ['a', 'b'].map((queue) => ({ queue })) });
    }
    const { stint, namespace } = one;
    const { nextPageToken } = await stint.listQueues({ namespace, pageSize: 1 });
    const { nextPageToken: ofJobs } = await stint.listJobs({ namespace, pageSize: 1 });
    expect([nextPageToken, ofJobs]).not.toContain('');
    const calls = [
      () => stint.listQueues({ namespace: another.namespace, pageToken: nextPageToken }),
      () => stint.listQueues({ namespace, pageToken: ofJobs }),
      () => stint.listQueues({ namespace, pageToken: 'made-up' }),
      () => stint.listAuditRecords({ namespace, pageToken: nextPageToken }),
    ];
    for (const call of calls) expect((await refusal(call())).violations.map(({ field }) => field)).toEqual(['page_token']);
  });

  it.each([-1, 1_001])('refuses a page of %d by name', async (pageSize) => {
    const { stint, namespace } = scene();
    expect((await refusal(stint.listQueues({ namespace, pageSize }))).violations.map(({ field }) => field)).toEqual(['page_size']);
    expect(await codeOf(stint.listQueues({ namespace: 'no spaces' }))).toBe('INVALID_ARGUMENT');
  });
});
