import { describe, expect, it } from 'vitest';
import { type Job, JobState } from '../../gen/stint/v1/job.ts';
import { useService } from './scene.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { codeOf, reasonOf, refusal, uuidV7 } from './stint.ts';

const scene = useService();

describe('GetJob', () => {
  it('does not find what is not there, or in another namespace', async () => {
    const { stint, namespace, enqueue } = scene();
    const missing = uuidV7();
    const { info } = await refusal(stint.getJob({ namespace, jobId: missing }));
    expect(info).toMatchObject({ reason: 'JOB_NOT_FOUND', metadata: { job_id: missing } });
    const { jobId } = await enqueue();
    expect(await reasonOf(stint.getJob({ namespace: `${namespace}x`, jobId }))).toBe('NOT_FOUND/JOB_NOT_FOUND');
  });

  it('tells a malformed id from a missing job', async () => {
    const { stint, namespace } = scene();
    const { violations } = await refusal(stint.getJob({ namespace, jobId: 'job-1' }));
    expect(violations.map(({ field }) => field)).toEqual(['job_id']);
  });

  it('tells who holds a job, since when and until when', async () => {
    const { enqueueAndClaim, job } = scene();
    const { jobId, claimed } = await enqueueAndClaim();
    const seen = await job(jobId);
    expect(seen).toMatchObject({
      state: JobState.RUNNING,
      workerId: 'worker-1',
      attempt: 1,
      fence: claimed.lease?.fence,
      leaseExpiresAt: claimed.lease?.expiresAt,
    });
    expect(seen.startedAt).toBeDefined();
  });
});

describe('ListJobs', () => {
  it('gives every job once, the newest first, over pages of any size', async () => {
    const { stint, namespace, queue } = scene();
    const { results } = await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 25 }, () => ({ queue })) });
    const ids = results.flatMap(({ result }) => (result?.$case === 'job' ? [result.job.jobId] : []));
    const listed: string[] = [];
    let pageToken = '';
    do {
      const page = await stint.listJobs({ namespace, pageSize: 7, pageToken });
      expect(page.jobs.length).toBeLessThanOrEqual(7);
      listed.push(...page.jobs.map(({ jobId }) => jobId));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(listed).toEqual(ids.toSorted().toReversed());
  });

  it('gives what meets every condition', async () => {
    const { stint, namespace, queue, enqueue, claimOne } = scene();
    const first = await enqueue({ type: 'a', labels: { team: 'x', tier: '1' } });
    await claimOne();
    const second = await enqueue({ type: 'a', labels: { team: 'x' } });
    const third = await enqueue({ type: 'b', labels: { team: 'y' }, queue: 'other' });
    // As a set: the clocks by which replicas mint ids lie some milliseconds apart.
    const list = async (filter: Parameters<typeof stint.listJobs>[0]) =>
      new Set((await stint.listJobs({ namespace, ...filter })).jobs.map(({ jobId }) => jobId));
    const only = (...jobs: readonly Job[]) => new Set(jobs.map(({ jobId }) => jobId));
    expect(await list({})).toEqual(only(first, second, third));
    expect(await list({ queue })).toEqual(only(first, second));
    expect(await list({ type: 'b' })).toEqual(only(third));
    expect(await list({ states: [JobState.RUNNING] })).toEqual(only(first));
    expect(await list({ states: [JobState.READY, JobState.SCHEDULED] })).toEqual(only(second, third));
    expect(await list({ labels: { team: 'x' } })).toEqual(only(first, second));
    expect(await list({ labels: { team: 'x', tier: '1' } })).toEqual(only(first));
    expect(await list({ labels: { team: 'x' }, type: 'b' })).toEqual(only());
  });

  it('keeps to its namespace, and leaves results out', async () => {
    const { stint, namespace, enqueueAndClaim } = scene();
    await scene().enqueue();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.ack({ leaseToken, result: Buffer.from('large') });
    const { jobs } = await stint.listJobs({ namespace, states: [JobState.SUCCEEDED] });
    expect(jobs).toMatchObject([{ jobId, state: JobState.SUCCEEDED, result: undefined }]);
  });

  it('refuses a page token under another filter', async () => {
    const { stint, namespace, queue } = scene();
    await stint.enqueueBatch({ namespace, jobs: [{ queue }, { queue }] });
    const { nextPageToken } = await stint.listJobs({ namespace, pageSize: 1 });
    expect(nextPageToken).not.toBe('');
    const { violations } = await refusal(stint.listJobs({ namespace, queue, pageSize: 1, pageToken: nextPageToken }));
    expect(violations.map(({ field }) => field)).toEqual(['page_token']);
  });
});

describe('AwaitTerminal', () => {
  it('sends the state at once, and the end when it comes', async () => {
    const { stint, namespace, enqueue, claimOne } = scene();
    const { jobId } = await enqueue();
    const follower = stint.awaitTerminal({ namespace, jobId });
    expect(await follower.next()).toMatchObject({ terminal: false, job: { jobId, state: JobState.READY } });
    const { leaseToken } = await claimOne();
    await stint.ack({ leaseToken, result: Buffer.from('done'), contentType: 'text/plain' });
    expect(await follower.rest()).toMatchObject([
      { terminal: true, job: { state: JobState.SUCCEEDED, result: Buffer.from('done'), resultContentType: 'text/plain' } },
    ]);
  });

  it('sends one message of a job that has ended before', async () => {
    const { stint, namespace, enqueueAndClaim } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.ack({ leaseToken });
    const messages = await stint.awaitTerminal({ namespace, jobId }).rest();
    expect(messages.at(-1)).toMatchObject({ terminal: true, job: { state: JobState.SUCCEEDED } });
    expect(messages.filter(({ terminal }) => terminal)).toHaveLength(1);
  });

  it('sends what happens on the way where that was asked for', async () => {
    const { stint, namespace, enqueue, claimOne } = scene();
    const { jobId } = await enqueue();
    const follower = stint.awaitTerminal({ namespace, jobId, includeProgress: true });
    expect((await follower.next()).job?.state).toBe(JobState.READY);
    const { leaseToken } = await claimOne();
    expect((await follower.next()).job?.state).toBe(JobState.RUNNING);
    await stint.ack({ leaseToken });
    expect((await follower.rest()).at(-1)).toMatchObject({ terminal: true, job: { state: JobState.SUCCEEDED } });
  });

  it('wakes everybody who waits', async () => {
    const { stint, enqueue, claimOne, terminal } = scene();
    const { jobId } = await enqueue();
    const waits = Array.from({ length: 50 }, () => terminal(jobId));
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    for (const job of await Promise.all(waits)) expect(job.state).toBe(JobState.SUCCEEDED);
  });

  it('tells the failure that ended a job', async () => {
    const { stint, enqueueAndClaim, terminal } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const failure = { code: 'disk.full', message: 'no room', details: '', kind: FailureKind.TERMINAL };
    await stint.fail({ leaseToken, failure });
    expect(await terminal(jobId)).toMatchObject({ state: JobState.FAILED, failure });
  });

  it('waits until the client has waited long enough, and that is all the client is told', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue();
    expect(await codeOf(stint.awaitTerminal({ namespace, jobId }, 300).rest())).toBe('DEADLINE_EXCEEDED');
  });

  it('waits on past the end of a life that the client has seen', async () => {
    const { stint, namespace, enqueueAndClaim } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.ack({ leaseToken });
    const follower = stint.awaitTerminal({ namespace, jobId, afterLife: 1 }, 1_000);
    expect(await follower.next()).toMatchObject({ terminal: false, job: { state: JobState.SUCCEEDED, life: 1 } });
    expect(await codeOf(follower.rest())).toBe('DEADLINE_EXCEEDED');
  });

  it('does not wait for a job that is not there', async () => {
    const { stint, namespace } = scene();
    expect(await reasonOf(stint.awaitTerminal({ namespace, jobId: uuidV7() }).rest())).toBe('NOT_FOUND/JOB_NOT_FOUND');
  });
});
