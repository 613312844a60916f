import { Metadata, status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { QueueMode } from '../../gen/stint/v1/queue.ts';
import { AckRequest, type AckResponse, ClaimDecision, SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { held, itemReason, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const MEBIBYTE = 1024 * 1024;
const { APPLIED, ALREADY_APPLIED } = SettlementOutcome;

/** The claim that an ack asks for. */
const wishOf = ({ namespace, queue }: Scene, more: Partial<Parameters<Scene['claim']>[0]> = {}) => ({
  ...{ namespace, workerId: 'worker-1', queues: [queue] },
  ...more,
});

function claimedBy({ next }: AckResponse) {
  return next?.$case === 'claimed' ? next.claimed : expect.unreachable();
}

describe('an Ack that asks for the next', () => {
  it('ends one job and gives another, in one call', async () => {
    const one = scene();
    const { stint, enqueueAndClaim, enqueue, job, isSound } = one;
    const { jobId, leaseToken } = await enqueueAndClaim();
    const waiting = await enqueue({ payload: Buffer.from('in') });
    const answer = await stint.ack({ leaseToken, result: Buffer.from('out'), next: wishOf(one, { leaseDuration: seconds(20) }) });
    expect(answer).toMatchObject({ outcome: APPLIED, job: { jobId, state: JobState.SUCCEEDED } });
    const { jobs, decision } = claimedBy(answer);
    expect(decision).toBe(ClaimDecision.ASSIGNED);
    expect(jobs).toMatchObject([
      {
        job: { jobId: waiting.jobId, state: JobState.RUNNING, workerId: 'worker-1' },
        payload: Buffer.from('in'),
        lease: { ttl: seconds(20) },
      },
    ]);
    expect((await job(jobId)).result).toEqual(Buffer.from('out'));
    expect((await stint.ack({ leaseToken: held(jobs[0]).leaseToken })).outcome).toBe(APPLIED);
    await isSound();
  });

  it('is told of no claim where it asks for none', async () => {
    const { stint, enqueueAndClaim } = scene();
    const { leaseToken } = await enqueueAndClaim();
    const answer = await stint.ack({ leaseToken, result: Buffer.from('out') });
    expect(answer).toMatchObject({ job: { result: Buffer.from('out') }, next: undefined });
  });

  it('is told why nothing was claimed', async () => {
    const one = scene();
    const { leaseToken } = await one.enqueueAndClaim();
    expect(claimedBy(await one.stint.ack({ leaseToken, next: wishOf(one) }))).toEqual({ jobs: [], decision: ClaimDecision.EMPTY });
  });

  it('waits for the next as long as it says, while the ack stands already', async () => {
    const one = scene();
    const { stint, enqueueAndClaim, enqueue, terminal } = one;
    const { jobId, leaseToken } = await enqueueAndClaim();
    const answer = stint.ack({ leaseToken, next: wishOf(one, { wait: seconds(10) }) });
    expect((await terminal(jobId)).state).toBe(JobState.SUCCEEDED);
    const later = await enqueue();
    expect(claimedBy(await answer).jobs).toMatchObject([{ job: { jobId: later.jobId } }]);
  });

  it('is answered before its client gives up', async () => {
    const one = scene();
    const { leaseToken } = await one.enqueueAndClaim();
    const answer = await one.stint.ack({ leaseToken, next: wishOf(one, { wait: seconds(60) }) }, 1_000);
    expect(answer.outcome).toBe(APPLIED);
    expect(claimedBy(answer)).toEqual({ jobs: [], decision: ClaimDecision.EMPTY });
  });

  it('that was cancelled stands, and takes no job with it', async () => {
    const one = scene();
    const { stint, enqueueAndClaim, enqueue, claimOne, terminal } = one;
    const { jobId, leaseToken } = await enqueueAndClaim();
    const request = AckRequest.fromPartial({ leaseToken, next: wishOf(one, { workerId: 'gone', wait: seconds(60) }) });
    const ended = new Promise((resolve, reject) => {
      const call = stint.raw.workers.ack(request, new Metadata(), {}, (error) => resolve(error?.code));
      terminal(jobId).then(() => call.cancel(), reject);
    });
    expect(await ended).toBe(Code.CANCELLED);
    const later = await enqueue();
    expect(await claimOne()).toMatchObject({ jobId: later.jobId, job: { attempt: 1, workerId: 'worker-1' } });
  });

  it('that is repeated finds the leases of the answer that was lost', async () => {
    const one = scene();
    const { stint, enqueueAndClaim, enqueue } = one;
    const { leaseToken } = await enqueueAndClaim();
    await enqueue();
    await enqueue();
    const request = { leaseToken, next: wishOf(one, { requestId: 'r' }) };
    const first = claimedBy(await stint.ack(request));
    const again = await stint.ack(request);
    expect(again.outcome).toBe(ALREADY_APPLIED);
    expect(held(claimedBy(again).jobs[0]).leaseToken).toBe(held(first.jobs[0]).leaseToken);
  });

  it('claims nothing where its lease is lost', async () => {
    const one = scene();
    const { stint, enqueueAndClaim, enqueue, picture } = one;
    const { leaseToken } = await enqueueAndClaim();
    await stint.release({ leaseToken });
    const { jobId } = await enqueue();
    const before = await picture(jobId);
    expect(await reasonOf(stint.ack({ leaseToken, next: wishOf(one, { maxJobs: 2 }) }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    expect(await picture(jobId)).toEqual(before);
  });

  it('does nothing where the claim is malformed, and names its fields', async () => {
    const one = scene();
    const { jobId, leaseToken } = await one.enqueueAndClaim();
    const before = await one.picture(jobId);
    const next = { ...wishOf(one, { workerId: '', maxJobs: -1 }), queues: [] };
    const { code, violations } = await refusal(one.stint.ack({ leaseToken, next }));
    expect(code).toBe(Code.INVALID_ARGUMENT);
    expect(violations.map(({ field }) => field)).toEqual(['next.worker_id', 'next.queues', 'next.max_jobs']);
    expect(await one.picture(jobId)).toEqual(before);
  });

  it('stands where the claim is refused, and tells of both', async () => {
    const one = scene();
    const { stint, namespace, enqueueAndClaim, job } = one;
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.putQueue({ namespace, queue: { name: 'pushed', mode: QueueMode.PUSH_ONLY }, updateMask: ['mode'] });
    const { outcome, next } = await stint.ack({ leaseToken, next: wishOf(one, { queues: ['pushed'] }) });
    expect(outcome).toBe(APPLIED);
    expect(next?.$case === 'claimError' && itemReason(next.claimError)).toBe('FAILED_PRECONDITION/MODE_MISMATCH');
    expect((await job(jobId)).state).toBe(JobState.SUCCEEDED);
  });

  it('fits into what a client takes, with the largest of everything', async () => {
    const one = scene();
    const { leaseToken } = await one.enqueueAndClaim({ labels: { l: 'x'.repeat(16_000) } });
    // Two of them leave just room for a third.
    const payload = Buffer.alloc(MEBIBYTE - 1_000);
    for (let jobs = 0; jobs < 4; jobs += 1) await one.enqueue({ payload });
    const answer = await one.stint.ack({ leaseToken, result: Buffer.alloc(MEBIBYTE), next: wishOf(one, { maxJobs: 4 }) });
    expect(answer.job?.result).toBeUndefined();
    expect(claimedBy(answer).jobs).toHaveLength(3);
  });
});
