import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import { cancellingAll, operatePage, retryingAll } from '../../../src/repository/jobs/bulk.ts';
import { listAttempts } from '../../../src/repository/jobs/list-attempts.ts';
import { Stage } from '../../engine/stage.ts';
import { explaining } from '../../support/explain.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

describe('a page of a bulk call, and the attempts of a job', () => {
  it('are found by keys, whatever lies beside them', async () => {
    const queue = await stage.queue();
    const ids = await stage.enqueue(queue, ...Array.from({ length: 300 }, () => ({})));
    const held = await stage.claim(queue, { maxJobs: 100 });
    const { run, plans, close } = await explaining(stage.database.url);
    const inOne = { transaction: <T>(work: (within: typeof run) => Promise<T>) => work(run) };
    const page = (jobIds: readonly JobId[], requestId: string) => ({
      namespace: queue.namespace,
      jobIds,
      nextAfter: null,
      reason: 'why',
      request: { requestId, digest: Buffer.from(requestId) },
    });
    await operatePage(inOne, null, page(ids.slice(50, 150), 'one'), cancellingAll);
    await operatePage(inOne, null, page(ids.slice(50, 150), 'two'), retryingAll);
    const jobId = held[0]?.job.jobId ?? stage.mint.mint();
    await listAttempts(run, { namespace: queue.namespace, jobId, pageSize: 10, after: 0n });
    await close();
    expect([...plans.keys()]).toEqual(
      expect.arrayContaining(['cancel', 'retry', 'jobs-without-results', 'answer-requests', 'list-attempts']),
    );
    for (const [name, { scanned }] of plans) expect(scanned, `${name} scans whole tables`).toEqual([]);
  });
});
