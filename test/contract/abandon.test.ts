import { describe, expect, it } from 'vitest';
import { Disposition, JobState } from '../../gen/stint/v1/job.ts';
import { AbandonOutcome } from '../../gen/stint/v1/job_service.ts';
import { LeaseLostReason } from '../../gen/stint/v1/lease.ts';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { useService } from './scene.ts';
import { jobIn, nameOf } from './standing.ts';
import { micros, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const LOST = 'FAILED_PRECONDITION/LEASE_LOST';
const bound = { disposition: Disposition.OWNER_BOUND };
/** A try that nobody settles is lost then: no grace lengthens this. */
const timeouts = { startToClose: seconds(1) };
const code = 'stint.timeout.start_to_close';

describe.concurrent('an owner-bound job', () => {
  it('that is lost after its start is ABANDONED, and never run again', async () => {
    const { stint, enqueueAndClaim, terminal, events, claim, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({ ...bound, timeouts });
    const ended = await terminal(jobId);
    expect(ended).toMatchObject({ state: JobState.ABANDONED, attempt: 1, life: 1, failure: { code } });
    const last = (await events(jobId)).at(-1);
    expect(last).toMatchObject({
      type: 'abandoned',
      state: JobState.ABANDONED,
      workerId: 'worker-1',
      detail: { $case: 'abandoned', abandoned: { failure: { code }, reason: ended.failure?.message } },
    });
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] });
    expect(results).toMatchObject([{ result: { lost: { reason: LeaseLostReason.TIMED_OUT } } }]);
    expect((await claim({ wait: seconds(0.3) })).jobs).toEqual([]);
    await isSound();
  });

  it('fails and is tried again as its holder says: it is not lost', async () => {
    const { stint, enqueueAndClaim, claimOne, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim(bound);
    expect((await stint.fail({ leaseToken, retryAfter: seconds(0) })).consequence?.$case).toBe('retryScheduled');
    expect(await claimOne()).toMatchObject({ jobId, job: { attempt: 2 } });
    await isSound();
  });

  it('may be given back, set aside and cancelled like any other', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim(bound);
    expect((await stint.release({ leaseToken })).job?.state).toBe(JobState.READY);
    const second = await claimOne();
    expect((await stint.suspend({ leaseToken: second.leaseToken })).job?.state).toBe(JobState.SUSPENDED);
    await stint.resumeJob({ namespace, jobId });
    const third = await claimOne();
    await stint.cancelJob({ namespace, jobId });
    expect((await stint.fail({ leaseToken: third.leaseToken })).job?.state).toBe(JobState.CANCELLED);
    await isSound();
  });

  it('whose life times out is FAILED: that is no lost try', async () => {
    const { enqueueAndClaim, terminal } = scene();
    const { jobId } = await enqueueAndClaim({ ...bound, timeouts: { scheduleToClose: seconds(1) } });
    expect(await terminal(jobId)).toMatchObject({ state: JobState.FAILED, failure: { code: 'stint.timeout.schedule_to_close' } });
  });
});

describe.concurrent('RequestAbandon', () => {
  it.each(['LEASED', 'RUNNING'] as const)('marks a job that is %s, once; its holder goes on', async (state) => {
    const one = scene();
    const { stint, namespace, events, picture, isSound } = one;
    const { jobId, live: leaseToken } = await jobIn(one, state);
    const asked = await stint.requestAbandon({ namespace, jobId, reason: 'the machine is gone' });
    expect(asked).toMatchObject({ outcome: AbandonOutcome.ABANDON_REQUESTED, job: { state: JobState[state] } });
    expect(asked.job?.abandonRequestedAt).toBeDefined();
    const before = await picture(jobId);
    expect(before.job).toEqual(asked.job);
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'abandon_requested',
      state: JobState[state],
      occurredAt: asked.job?.abandonRequestedAt,
      detail: { $case: 'abandonRequested', abandonRequested: { reason: 'the machine is gone' } },
    });
    const again = await stint.requestAbandon({ namespace, jobId, reason: 'another reason' });
    expect(again).toEqual({ outcome: AbandonOutcome.ABANDON_REQUESTED, job: before.job });
    expect(await picture(jobId)).toEqual(before);
    const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] });
    expect(results.map(({ result }) => result?.$case)).toEqual(['renewed']);
    await stint.start({ leaseToken });
    const { outcome, job } = await stint.ack({ leaseToken });
    expect([outcome, nameOf(job?.state)]).toEqual([SettlementOutcome.APPLIED, 'SUCCEEDED']);
    await isSound();
  });

  it('has a job ABANDONED once its try is lost, whatever its disposition, with the first reason', async () => {
    const { stint, namespace, enqueueAndClaim, terminal, events, claim, isSound } = scene();
    const { jobId, job } = await enqueueAndClaim({ timeouts });
    await stint.requestAbandon({ namespace, jobId, reason: 'first' });
    await stint.requestAbandon({ namespace, jobId, reason: 'second' });
    const ended = await terminal(jobId);
    expect(ended).toMatchObject({ state: JobState.ABANDONED, attempt: 1, failure: { code } });
    expect(micros(ended.finishedAt) - micros(job.startedAt)).toBeGreaterThanOrEqual(1_000_000);
    expect((await events(jobId)).slice(-2)).toMatchObject([
      { type: 'abandon_requested' },
      { type: 'abandoned', detail: { abandoned: { reason: 'first', failure: { code } } } },
    ]);
    expect((await claim({ wait: seconds(0.3) })).jobs).toEqual([]);
    await isSound();
  });

  it('of a job that is then failed by its holder decides nothing: it is tried again', async () => {
    const { stint, namespace, enqueueAndClaim, claimOne } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.requestAbandon({ namespace, jobId });
    expect((await stint.fail({ leaseToken, retryAfter: seconds(0) })).consequence?.$case).toBe('retryScheduled');
    expect((await claimOne()).job).toMatchObject({ jobId, attempt: 2 });
  });

  it('of a job whose lease has lapsed ends it at once, or finds it ended', async () => {
    const { stint, namespace, enqueueAndClaim, later, job } = scene();
    const { jobId } = await enqueueAndClaim({ ...bound, timeouts });
    await later(1.05);
    const { outcome } = await stint.requestAbandon({ namespace, jobId });
    expect([AbandonOutcome.ABANDONED, AbandonOutcome.ALREADY_TERMINAL]).toContain(outcome);
    expect((await job(jobId)).state).toBe(JobState.ABANDONED);
  });

  it.each(['SCHEDULED', 'READY', 'RETRY_WAIT', 'SUSPENDED'] as const)('refuses a job that is %s', async (state) => {
    const one = scene();
    const { jobId } = await jobIn(one, state);
    const { info } = await refusal(one.stint.requestAbandon({ namespace: one.namespace, jobId }));
    expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state, action: 'request_abandon' } });
  });
});
