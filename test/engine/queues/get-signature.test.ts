import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { SignedQueue } from '../../../src/engine/ports/repository.ts';
import { QueueDirectory } from '../../../src/engine/queue-directory.ts';
import { getSignature } from '../../../src/engine/queues/get-signature.ts';

const queue: Queue = {
  namespace: 'n',
  name: 'q',
  id: 1,
  epoch: 1,
};

const directory = new QueueDirectory({
  resolveQueues: async (names) => names.map(({ namespace, name }) => (name === 'missing' ? null : { ...queue, namespace, name })),
  createQueues: async () => [],
});

/** Storage that holds these jobs, each reduced to what stands there. */
const holding = (jobs: SignedQueue<string> | null) => ({
  limits: [] as number[],
  async signedJobs<Reduced>(_queue: unknown, limit: number): Promise<SignedQueue<Reduced> | null> {
    this.limits.push(limit);
    return jobs as SignedQueue<Reduced> | null;
  },
});

const query = { namespace: 'n', queue: 'q' };

describe('GetSignature', () => {
  it('counts the jobs and is a SHA-256 over them, the backlog in its order', async () => {
    const signed = async (jobs: SignedQueue<string>) => await getSignature({ directory, repository: holding(jobs) }, query);
    const one = await signed({ backlog: ['a', 'b'], others: ['c', 'd'] });
    expect(one).toMatchObject({ ok: true, value: { jobCount: 4, signature: expect.stringMatching(/^[0-9a-f]{64}$/) } });
    expect(await signed({ backlog: ['a', 'b'], others: ['d', 'c'] })).toEqual(one);
    expect(await signed({ backlog: ['b', 'a'], others: ['c', 'd'] })).not.toEqual(one);
  });

  it('is refused for a queue that holds more jobs than it covers', async () => {
    const repository = holding(null);
    const answer = await getSignature({ directory, repository }, query);
    expect(answer).toMatchObject({ ok: false, refusal: { kind: 'invalid_field', violations: [{ field: 'queue' }] } });
    expect(repository.limits).toEqual([LIMITS.signedJobs]);
  });

  it('does not look where there is no queue', async () => {
    const repository = holding(null);
    expect(await getSignature({ directory, repository }, { namespace: 'n', queue: 'missing' })).toMatchObject({
      ok: false,
      refusal: { kind: 'queue_not_found' },
    });
    expect(repository.limits).toEqual([]);
  });
});
