import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { SettlementOutcome, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { useService } from './scene.ts';
import { itemReason, reasonOf, refusal } from './stint.ts';

const scene = useService();

const LOST = 'FAILED_PRECONDITION/LEASE_LOST';
const { APPLIED, ALREADY_APPLIED, NOT_HELD } = SettlementOutcome;
const checkpoint = Buffer.from('page 7 of 9');

describe('Suspend', () => {
  it('sets a job aside, with its attempt and what the next one shall know', async () => {
    const { stint, enqueueAndClaim, job, events, claim, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const answer = await stint.suspend({ leaseToken, checkpoint, reason: 'waits for a person' });
    expect(answer).toMatchObject({
      outcome: APPLIED,
      job: { state: JobState.SUSPENDED, attempt: 0, suspendReason: 'waits for a person', leaseExpiresAt: undefined },
    });
    expect(await job(jobId)).toEqual(answer.job);
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'suspended',
      state: JobState.SUSPENDED,
      workerId: 'worker-1',
      attempt: 0,
      detail: { $case: 'suspended', suspended: { reason: 'waits for a person' } },
    });
    expect((await claim()).jobs).toEqual([]);
    await isSound();
  });

  it('told again is answered with the first outcome, also after the job has moved on', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne, job } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.suspend({ leaseToken });
    expect(await stint.suspend({ leaseToken, checkpoint })).toMatchObject({ outcome: ALREADY_APPLIED, job: { state: JobState.SUSPENDED } });
    await stint.resumeJob({ namespace, jobId });
    const next = await claimOne();
    expect(next.claimed.checkpoint).toBeUndefined();
    expect((await stint.suspend({ leaseToken })).outcome).toBe(ALREADY_APPLIED);
    expect((await job(jobId)).state).toBe(JobState.RUNNING);
  });

  it('leaves its token to nothing else', async () => {
    const { stint, enqueueAndClaim, picture } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.suspend({ leaseToken });
    const before = await picture(jobId);
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    expect(await reasonOf(stint.fail({ leaseToken }))).toBe(LOST);
    expect(await reasonOf(stint.start({ leaseToken }))).toBe(LOST);
    expect(await stint.release({ leaseToken })).toEqual({ outcome: NOT_HELD, job: undefined });
    expect(await picture(jobId)).toEqual(before);
  });

  it('of a released job is lost', async () => {
    const { stint, enqueueAndClaim } = scene();
    const { leaseToken } = await enqueueAndClaim();
    await stint.release({ leaseToken });
    expect(await reasonOf(stint.suspend({ leaseToken }))).toBe(LOST);
  });

  it('goes among other settlements, and is refused alone', async () => {
    const { stint, namespace, queue, claim, job, isSound } = scene();
    await stint.enqueueBatch({ namespace, jobs: [{ queue }, { queue }, { queue }] });
    const { jobs: running } = await claim({ maxJobs: 2 });
    const { jobs: leased } = await claim({ start: StartMode.EXPLICIT });
    const held = [...running, ...leased];
    const { results } = await stint.settle({
      settlements: held.map(({ lease }, index) => ({
        leaseToken: lease?.leaseToken ?? '',
        action: index === 0 ? { $case: 'ack', ack: {} } : { $case: 'suspend', suspend: { checkpoint, reason: `the ${index}th` } },
      })),
    });
    expect(results.map(({ result }) => result?.$case)).toEqual(['ack', 'suspend', 'error']);
    expect(results[1]?.result).toMatchObject({ suspend: { outcome: APPLIED, job: { suspendReason: 'the 1th' } } });
    const [, , refused] = results;
    expect(refused?.result?.$case === 'error' && itemReason(refused.result.error)).toBe('FAILED_PRECONDITION/INVALID_TRANSITION');
    const states = await Promise.all(held.map(async (one) => (await job(one.job?.jobId ?? '')).state));
    expect(states).toEqual([JobState.SUCCEEDED, JobState.SUSPENDED, JobState.LEASED]);
    await isSound();
  });

  it('holds its words to their bounds', async () => {
    const { stint, enqueueAndClaim, job } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const fields = async (call: Promise<unknown>) => (await refusal(call)).violations.map(({ field }) => field);
    expect(await fields(stint.suspend({ leaseToken, reason: 'x'.repeat(1_025) }))).toEqual(['reason']);
    expect(await fields(stint.suspend({ leaseToken, checkpoint: Buffer.alloc(65_537) }))).toEqual(['checkpoint']);
    expect((await job(jobId)).state).toBe(JobState.RUNNING);
    const most = { reason: 'x'.repeat(1_024), checkpoint: Buffer.alloc(65_536, 1) };
    expect((await stint.suspend({ leaseToken, ...most })).job?.suspendReason).toBe(most.reason);
  });
});

describe('ResumeJob', () => {
  it('makes a suspended job READY: its next holder goes on where it was left, on the same attempt', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne, job, events, isSound } = scene();
    const { jobId, leaseToken, job: first } = await enqueueAndClaim();
    await stint.suspend({ leaseToken, checkpoint });
    const answer = await stint.resumeJob({ namespace, jobId, reason: 'a person has spoken' });
    expect(answer.job).toMatchObject({ state: JobState.READY, attempt: 0, life: 1, suspendReason: '' });
    expect(await job(jobId)).toEqual(answer.job);
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'resumed',
      state: JobState.READY,
      detail: { $case: 'resumed', resumed: { reason: 'a person has spoken' } },
    });
    const next = await claimOne();
    expect(next).toMatchObject({ jobId, job: { attempt: 1, life: 1 }, claimed: { checkpoint } });
    expect(next.job.fence).toBeGreaterThan(first.fence);
    expect((await stint.ack({ leaseToken: next.leaseToken })).job?.state).toBe(JobState.SUCCEEDED);
    await isSound();
  });

  it('hands over the checkpoint of a heartbeat where the suspension had none', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken, checkpoint }] });
    await stint.suspend({ leaseToken });
    await stint.resumeJob({ namespace, jobId });
    expect((await claimOne()).claimed.checkpoint).toEqual(checkpoint);
  });

  it('puts the job at the end of its priority', async () => {
    const { stint, namespace, enqueue, enqueueAndClaim, claim } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.suspend({ leaseToken });
    const younger = await enqueue();
    await stint.resumeJob({ namespace, jobId });
    const { jobs } = await claim({ maxJobs: 2 });
    expect(jobs.map(({ job }) => job?.jobId)).toEqual([younger.jobId, jobId]);
  });

  it('wakes a claim that waits', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.suspend({ leaseToken });
    const waiting = claimOne();
    await stint.resumeJob({ namespace, jobId });
    expect((await waiting).jobId).toBe(jobId);
  });

  it('is not repeated: the job is READY then', async () => {
    const { stint, namespace, enqueueAndClaim } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.suspend({ leaseToken });
    await stint.resumeJob({ namespace, jobId });
    const { info } = await refusal(stint.resumeJob({ namespace, jobId }));
    expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state: 'READY', action: 'resume' } });
  });
});
