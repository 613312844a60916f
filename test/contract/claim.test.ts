import { setTimeout as delay } from 'node:timers/promises';
import { Metadata, status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { ClaimDecision, ClaimRequest, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { held, reasonOf, seconds } from './stint.ts';

const scene = useService();

const claimedIds = async (claim: ReturnType<Scene['claim']>) => (await claim).jobs.map(({ job }) => job?.jobId);

describe('Claim', () => {
  it('leases and starts a job, with all that is needed to do it', async () => {
    const { enqueue, claim } = scene();
    const { jobId } = await enqueue({ payload: Buffer.from('in'), contentType: 'text/plain', headers: { h: 'v' } });
    const { jobs, decision } = await claim({ leaseDuration: seconds(20) });
    expect(decision).toBe(ClaimDecision.ASSIGNED);
    expect(jobs).toMatchObject([
      {
        job: { jobId, state: JobState.RUNNING, attempt: 1, headers: { h: 'v' }, workerId: 'worker-1', contentType: 'text/plain' },
        payload: Buffer.from('in'),
        checkpoint: undefined,
        lease: { attempt: 1, ttl: seconds(20) },
      },
    ]);
    expect(jobs[0]?.lease?.fence).toBeGreaterThan(0n);
    expect(jobs[0]?.lease?.heartbeatInterval?.seconds).toBeLessThan(20n);
  });

  it('leases for as long as the queue says where the worker does not', async () => {
    const { lease } = (await scene().enqueueAndClaim()).claimed;
    expect(lease).toMatchObject({ ttl: seconds(30), heartbeatInterval: seconds(10) });
  });

  it('keeps to its namespace', async () => {
    const [one, other] = [scene(), scene()];
    await other.enqueue();
    expect(await claimedIds(one.claim())).toEqual([]);
    expect(await claimedIds(other.claim())).toHaveLength(1);
  });

  it('gives the higher priority first, then the older', async () => {
    const { enqueue, claim } = scene();
    const [low, high, alsoHigh] = [await enqueue({ priority: -1 }), await enqueue({ priority: 5 }), await enqueue({ priority: 5 })];
    const zero = await enqueue();
    expect(await claimedIds(claim({ maxJobs: 10 }))).toEqual([high, alsoHigh, zero, low].map(({ jobId }) => jobId));
  });

  it('keeps the order also one by one, at both ends of the priorities', async () => {
    const { enqueue, claimOne } = scene();
    const last = await enqueue({ priority: -(2 ** 31) });
    const first = await enqueue({ priority: 2 ** 31 - 1 });
    expect([(await claimOne()).jobId, (await claimOne()).jobId]).toEqual([first.jobId, last.jobId]);
  });

  it('gives each job to one of many who ask at once', async () => {
    const { stint, namespace, queue, claim } = scene();
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 100 }, () => ({ queue })) });
    const claims = await Promise.all(Array.from({ length: 20 }, (_, n) => claimedIds(claim({ workerId: `w${n}`, maxJobs: 7 }))));
    const ids = claims.flat();
    expect(ids).toHaveLength(100);
    expect(new Set(ids).size).toBe(100);
  });

  it('gives one job where no number is named', async () => {
    const { enqueue, claim } = scene();
    await enqueue();
    await enqueue();
    expect((await claim()).jobs).toHaveLength(1);
  });

  it('draws on every queue that is named, in one order', async () => {
    const { enqueue, claim } = scene();
    const low = await enqueue({ queue: 'one' });
    const high = await enqueue({ queue: 'two', priority: 1 });
    await enqueue({ queue: 'three', priority: 9 });
    expect(await claimedIds(claim({ queues: ['one', 'two', 'two', 'absent'], maxJobs: 10 }))).toEqual([high.jobId, low.jobId]);
  });

  it('is answered empty at once where it does not wait', async () => {
    const { claim } = scene();
    expect(await claim()).toEqual({ jobs: [], decision: ClaimDecision.EMPTY });
  });

  it('waits for a job, also on a queue that is not there yet', async () => {
    const { enqueue, claimOne } = scene();
    const waiting = claimOne();
    await delay(100);
    const { jobId } = await enqueue();
    expect((await waiting).jobId).toBe(jobId);
  });

  it('wakes as many waiters as there are jobs', async () => {
    const { stint, namespace, queue, claim } = scene();
    const waiting = Array.from({ length: 10 }, (_, n) => claim({ workerId: `w${n}`, wait: seconds(10) }));
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 10 }, () => ({ queue })) });
    const ids = (await Promise.all(waiting)).flatMap(({ jobs }) => jobs.map(({ job }) => job?.jobId));
    expect(new Set(ids).size).toBe(10);
  });

  it('is answered empty before the client gives up', async () => {
    const { stint, namespace, queue } = scene();
    const answer = await stint.claim({ namespace, workerId: 'w', queues: [queue], wait: seconds(60) }, 1_000);
    expect(answer).toEqual({ jobs: [], decision: ClaimDecision.EMPTY });
  });

  it('that was cancelled takes no job with it', async () => {
    const { stint, namespace, queue, enqueue, claimOne } = scene();
    const request = ClaimRequest.fromPartial({ namespace, workerId: 'gone', queues: [queue], wait: seconds(60) });
    const code = await new Promise((resolve) => {
      const call = stint.raw.workers.claim(request, new Metadata(), {}, (error) => resolve(error?.code));
      setTimeout(() => call.cancel(), 100);
    });
    expect(code).toBe(Code.CANCELLED);
    const { jobId } = await enqueue();
    const taken = await claimOne();
    expect(taken).toMatchObject({ jobId, job: { attempt: 1, workerId: 'worker-1' } });
  });
});

describe('a claim that is told to be the same', () => {
  it('is given its live leases again', async () => {
    const { stint, namespace, queue, claim } = scene();
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 5 }, () => ({ queue })) });
    const first = await claim({ requestId: 'r', maxJobs: 3 });
    const again = await claim({ requestId: 'r', maxJobs: 3 });
    expect(again.jobs.map(({ lease }) => lease?.leaseToken).toSorted()).toEqual(
      first.jobs.map(({ lease }) => lease?.leaseToken).toSorted(),
    );
    expect(again.jobs.map(({ lease }) => lease?.fence).toSorted()).toEqual(first.jobs.map(({ lease }) => lease?.fence).toSorted());
    expect(again.decision).toBe(ClaimDecision.ASSIGNED);
  });

  it('is another one for another worker', async () => {
    const { enqueue, claim } = scene();
    await enqueue();
    await enqueue();
    const [one] = (await claim({ requestId: 'r' })).jobs;
    const [other] = (await claim({ requestId: 'r', workerId: 'worker-2' })).jobs;
    expect(held(one).jobId).not.toBe(held(other).jobId);
  });

  it('is an ordinary one once its leases are gone', async () => {
    const { stint, enqueue, claim } = scene();
    await enqueue();
    const second = (await enqueue()).jobId;
    const { leaseToken } = held((await claim({ requestId: 'r' })).jobs[0]);
    await stint.ack({ leaseToken });
    expect(held((await claim({ requestId: 'r' })).jobs[0]).jobId).toBe(second);
  });
});

describe('Start', () => {
  it('starts a job that was claimed to be started later', async () => {
    const { stint, enqueueAndClaim, eventTypes } = scene();
    const { jobId, job, leaseToken } = await enqueueAndClaim({}, { start: StartMode.EXPLICIT });
    expect(job.state).toBe(JobState.LEASED);
    const started = await stint.start({ leaseToken });
    expect(started.job).toMatchObject({ jobId, state: JobState.RUNNING });
    expect(await stint.start({ leaseToken })).toEqual(started);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started']);
  });

  it('of a job that its claim started changes nothing', async () => {
    const { stint, enqueueAndClaim, job } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const before = await job(jobId);
    expect((await stint.start({ leaseToken })).job).toEqual(before);
  });

  it('with a token that is made up, or whose attempt is over, is lost', async () => {
    const { stint, enqueueAndClaim } = scene();
    const { leaseToken } = await enqueueAndClaim();
    await stint.ack({ leaseToken });
    for (const token of [leaseToken, 'made-up', '']) {
      expect(await reasonOf(stint.start({ leaseToken: token }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    }
  });
});
