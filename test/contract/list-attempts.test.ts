import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../gen/stint/v1/job.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { StartMode } from '../../gen/stint/v1/worker_service.ts';
import { useService } from './scene.ts';
import { reasonOf, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

describe('ListAttempts', () => {
  it('tells every try of a job, over all its lives, with the one in flight last', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne } = scene();
    const first = await enqueueAndClaim();
    const { jobId } = first;
    await stint.fail({ leaseToken: first.leaseToken, failure: { code: 'full', message: 'no room' }, retryAfter: seconds(0) });
    const second = await claimOne({ workerId: 'worker-2' });
    await stint.suspend({ leaseToken: second.leaseToken, reason: 'asks people' });
    await stint.resumeJob({ namespace, jobId });
    const third = await claimOne();
    await stint.fail({ leaseToken: third.leaseToken, failure: { code: 'bad', kind: FailureKind.TERMINAL } });
    await stint.retryJob({ namespace, jobId });
    const fourth = await claimOne({ start: StartMode.EXPLICIT });
    const { attempts, nextPageToken } = await stint.listAttempts({ namespace, jobId });
    expect(nextPageToken).toBe('');
    expect(attempts).toMatchObject([
      { outcome: AttemptOutcome.FAILED, attempt: 1, life: 1, workerId: 'worker-1', failure: { code: 'full', message: 'no room' } },
      { outcome: AttemptOutcome.SUSPENDED, attempt: 2, life: 1, workerId: 'worker-2', reason: 'asks people', failure: undefined },
      { outcome: AttemptOutcome.FAILED, attempt: 2, life: 1, failure: { code: 'bad' }, retryAt: undefined },
      { outcome: AttemptOutcome.IN_FLIGHT, attempt: 1, life: 2, startedAt: undefined, endedAt: undefined },
    ]);
    expect(attempts.map(({ fence }) => fence)).toEqual([first, second, third, fourth].map(({ claimed }) => claimed.lease?.fence));
    expect(attempts[0]?.retryAt).toEqual(attempts[0]?.endedAt);
  });

  it('gives the same in pages', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne } = scene();
    let { jobId, leaseToken } = await enqueueAndClaim();
    for (let count = 0; count < 6; count += 1) {
      await stint.fail({ leaseToken, retryAfter: seconds(0) });
      ({ jobId, leaseToken } = await claimOne());
    }
    const { attempts } = await stint.listAttempts({ namespace, jobId });
    const listed: bigint[] = [];
    let pageToken = '';
    do {
      const page = await stint.listAttempts({ namespace, jobId, pageSize: 3, pageToken });
      expect(page.attempts.length).toBeLessThanOrEqual(3);
      listed.push(...page.attempts.map(({ fence }) => fence));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(listed).toEqual(attempts.map(({ fence }) => fence));
    expect(listed).toHaveLength(7);
  });

  it('stops before an answer grows too large, and goes on from there', { timeout: 60_000 }, async () => {
    const { stint, namespace, enqueueAndClaim, claimOne } = scene();
    const failure = { code: 'large', details: 'x'.repeat(65_536) };
    let { jobId, leaseToken } = await enqueueAndClaim({ retry: { maxAttempts: 100 } });
    for (let count = 0; count < 50; count += 1) {
      await stint.fail({ leaseToken, failure, retryAfter: seconds(0) });
      ({ jobId, leaseToken } = await claimOne());
    }
    const first = await stint.listAttempts({ namespace, jobId });
    const second = await stint.listAttempts({ namespace, jobId, pageToken: first.nextPageToken });
    expect(first.attempts.length).toBeLessThan(51);
    expect(first.attempts.length + second.attempts.length).toBe(51);
    expect(second.nextPageToken).toBe('');
  });

  it('does not find a job that is not there, or in another namespace', async () => {
    const { stint, namespace, enqueue } = scene();
    expect(await reasonOf(stint.listAttempts({ namespace, jobId: uuidV7() }))).toBe('NOT_FOUND/JOB_NOT_FOUND');
    const { jobId } = await enqueue();
    expect(await reasonOf(stint.listAttempts({ namespace: `${namespace}x`, jobId }))).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await stint.listAttempts({ namespace, jobId })).toMatchObject({ attempts: [], nextPageToken: '' });
  });

  it('refuses what it cannot read', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.fail({ leaseToken, retryAfter: seconds(0) });
    await claimOne();
    const fieldsOf = async (request: Parameters<typeof stint.listAttempts>[0]) =>
      (await refusal(stint.listAttempts({ namespace, jobId, ...request }))).violations.map(({ field }) => field);
    const { nextPageToken } = await stint.listAttempts({ namespace, jobId, pageSize: 1 });
    expect(nextPageToken).not.toBe('');
    expect(await fieldsOf({ jobId: uuidV7(), pageToken: nextPageToken })).toEqual(['page_token']);
    expect(await fieldsOf({ pageToken: 'made-up' })).toEqual(['page_token']);
    expect(await fieldsOf({ pageSize: 1_001 })).toEqual(['page_size']);
    expect(await fieldsOf({ jobId: '' })).toEqual(['job_id']);
    expect(await fieldsOf({ namespace: 'no spaces' })).toEqual(['namespace']);
  });
});
