import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { AwaitMode } from '../../gen/stint/v1/job_service.ts';
import { useService } from './scene.ts';
import { refusal, uuidV7 } from './stint.ts';

const scene = useService();
const RESULT_BYTES = 1024 * 1024;
const RESPONSE_BYTES = 3 * 1024 * 1024;

async function held(count: number) {
  const one = scene();
  const leases = [];
  while (leases.length < count) leases.push(await one.enqueueAndClaim());
  return { ...one, leases, jobIds: leases.map(({ jobId }) => jobId) };
}

describe('AwaitJobs', () => {
  it('says at once that it waits, tells each end once, and is over with the last', async () => {
    const { stint, namespace, leases, jobIds } = await held(3);
    const follower = stint.awaitJobs({ namespace, jobIds });
    expect(await follower.next()).toMatchObject({ jobs: [], remaining: 3 });
    for (const [index, { jobId, leaseToken }] of leases.entries()) {
      await stint.ack({ leaseToken });
      expect(await follower.next()).toMatchObject({ jobs: [{ jobId, state: JobState.SUCCEEDED }], remaining: 2 - index });
    }
    expect(await follower.rest()).toEqual([]);
  });

  it('of any is over with the first message that tells an end', async () => {
    const { stint, namespace, leases, jobIds } = await held(2);
    const follower = stint.awaitJobs({ namespace, jobIds, mode: AwaitMode.ANY });
    await follower.next();
    await stint.ack({ leaseToken: leases[1]?.leaseToken ?? '' });
    expect(await follower.rest()).toMatchObject([{ jobs: [{ jobId: jobIds[1] }], remaining: 1 }]);
    // What had ended before is told at once.
    expect(await stint.awaitJobs({ namespace, jobIds, mode: AwaitMode.ANY }).rest()).toMatchObject([{ jobs: [{ jobId: jobIds[1] }] }]);
  });

  it('cuts what is too large for a message', async () => {
    const { stint, namespace, leases, jobIds } = await held(5);
    for (const { leaseToken } of leases) await stint.ack({ leaseToken, result: Buffer.alloc(RESULT_BYTES) });
    const messages = await stint.awaitJobs({ namespace, jobIds }).rest();
    for (const { jobs } of messages) {
      expect(jobs.reduce((bytes, { result }) => bytes + (result?.byteLength ?? 0), 0)).toBeLessThanOrEqual(RESPONSE_BYTES);
    }
    expect(messages.flatMap(({ jobs }) => jobs.map(({ jobId }) => jobId)).sort()).toEqual([...jobIds].sort());
    expect(
      messages
        .map(({ remaining }) => remaining)
        .sort()
        .reverse(),
    ).toEqual(messages.map(({ remaining }) => remaining));
    expect(messages.at(-1)?.remaining).toBe(0);
    const any = await stint.awaitJobs({ namespace, jobIds, mode: AwaitMode.ANY }).rest();
    expect(any).toHaveLength(1);
    expect(any[0]?.remaining).toBe(5 - (any[0]?.jobs.length ?? 0));
  });

  it('tells nothing where one of them is unknown, and names that one', async () => {
    const { stint, namespace, leases, jobIds } = await held(1);
    await stint.ack({ leaseToken: leases[0]?.leaseToken ?? '' });
    const missing = uuidV7();
    const { info } = await refusal(stint.awaitJobs({ namespace, jobIds: [...jobIds, missing] }).rest());
    expect(info).toMatchObject({ reason: 'JOB_NOT_FOUND', metadata: { job_id: missing } });
  });
});
