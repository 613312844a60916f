import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS } from '../../../src/domain/queue.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { Stage } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

describe('queues', () => {
  it('begin with the settings that the contract names', async () => {
    const configured = await stage.repository.configuredQueue(queue);
    expect(configured).toMatchObject({ settings: DEFAULT_SETTINGS, status: 'ACTIVE', statusReason: '' });
  });

  it('are found by name and namespace, at the place they were asked for', async () => {
    const namespace = `n-${randomUUID()}`;
    const [b, a] = await stage.repository.createQueues(['b', 'a', 'b'].map((name) => ({ namespace, name })));
    const names = [
      { namespace, name: 'nobody' },
      { namespace, name: 'a' },
      { namespace: queue.namespace, name: 'a' },
      { namespace, name: 'b' },
      { namespace, name: 'a' },
    ];
    expect(await stage.repository.resolveQueues(names)).toEqual([null, a, null, b, a]);
    expect(await stage.repository.resolveQueues([])).toEqual([]);
  });

  it('that are there stay as they are', async () => {
    await stage.sql`update stint.queue set max_attempts = 3, non_retryable_codes = ${['a,"b\\', 'NULL', '']} where id = ${queue.id}`;
    expect(await stage.repository.createQueues([queue])).toEqual([queue]);
    const { settings } = (await stage.repository.configuredQueue(queue)) ?? {};
    expect(settings?.retry).toMatchObject({ maxAttempts: 3, nonRetryableCodes: ['a,"b\\', 'NULL', ''] });
  });
});

describe('a look at the head of a queue', () => {
  it('tells what would be claimed next, as a read gives it, and claims nothing', async () => {
    const ids = await stage.enqueue(queue, {}, { priority: 2 }, { runAt: stage.now + 1_000_000 }, {});
    const expected = [ids[1], ids[0], ids[3]];
    const peeked = await stage.repository.peekQueue(queue, 10);
    expect(peeked.map(({ jobId }) => jobId)).toEqual(expected);
    expect(peeked).toEqual(await stage.repository.getJobs(peeked.map(({ jobId }) => jobId)));
    expect((await stage.repository.peekQueue(queue, 2)).map(({ jobId }) => jobId)).toEqual(expected.slice(0, 2));
    expect((await stage.claim(queue, { maxJobs: 10 })).map(({ job }) => job.jobId)).toEqual(expected);
    expect(await stage.repository.peekQueue(queue, 10)).toEqual([]);
  });
});
