/** `fairness_key` and `fairness_weights`: keys are served in turn, each as often as its weight says. */
import { describe, expect, it } from 'vitest';
import { type Scene, useService } from './scene.ts';

const scene = useService();

const times = (count: number, fairnessKey: string) => Array.from({ length: count }, () => ({ fairnessKey }));

async function lay({ stint, namespace, queue }: Scene, ...specs: { fairnessKey?: string; priority?: number }[]): Promise<void> {
  const { results } = await stint.enqueueBatch({ namespace, jobs: specs.map((spec) => ({ queue, ...spec })) });
  for (const { result } of results) expect(result?.$case).toBe('job');
}

async function order({ claim }: Scene, maxJobs: number): Promise<string> {
  const { jobs } = await claim({ maxJobs });
  return jobs.map(({ job }) => job?.fairnessKey || '-').join('');
}

describe('a fairness key', () => {
  it('is shown wherever its job is', async () => {
    const one = scene();
    const { jobId, fairnessKey } = await one.enqueue({ fairnessKey: 'tenant ü' });
    expect(fairnessKey).toBe('tenant ü');
    expect(await one.job(jobId)).toMatchObject({ fairnessKey });
    const { namespace, queue, stint } = one;
    expect((await stint.listJobs({ namespace })).jobs).toMatchObject([{ fairnessKey }]);
    expect((await stint.peekQueue({ namespace, queue })).jobs).toMatchObject([{ fairnessKey }]);
    const { job, leaseToken } = await one.claimOne();
    expect(job).toMatchObject({ fairnessKey });
    expect((await stint.ack({ leaseToken })).job).toMatchObject({ fairnessKey });
    await one.isSound();
  });

  it('is no part of the content that an idempotency key stands for', async () => {
    const one = scene();
    const first = await one.enqueue({ idempotencyKey: 'k', fairnessKey: 'a' });
    expect(await one.enqueue({ idempotencyKey: 'k', fairnessKey: 'b' })).toMatchObject({ jobId: first.jobId, fairnessKey: 'a' });
  });

  it('has a turn, however many jobs of others are there, within its priority', async () => {
    const one = scene();
    await lay(one, ...times(500, 'a'));
    await lay(one, { fairnessKey: 'b' }, {}, { fairnessKey: 'b' }, { priority: -1 });
    expect(await order(one, 5)).toBe('ab-ab');
  });
});

describe('the weights of a queue', () => {
  it('say how often each key is served, from the next job on, and are in the audit', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const put = (fairnessWeights: Record<string, number>) =>
      stint.putQueue({ namespace, queue: { name: queue, fairnessWeights }, updateMask: ['fairness_weights'] });
    await put({ b: 3 });
    await lay(one, ...times(30, 'a'), ...times(30, 'b'));
    expect([14, 15, 16]).toContain((await order(one, 20)).replaceAll('a', '').length);
    expect((await stint.listQueues({ namespace })).queues).toMatchObject([{ fairnessWeights: { b: 3 } }]);
    await put({});
    expect((await stint.getQueue({ namespace, queue })).queue?.fairnessWeights).toEqual({});
    const { records } = await stint.listAuditRecords({ namespace });
    expect(JSON.parse(records[0]?.before ?? '')).toMatchObject({ fairnessWeights: { b: 3 } });
    expect(JSON.parse(records[0]?.after ?? '')).toMatchObject({ fairnessWeights: {} });
  });
});
