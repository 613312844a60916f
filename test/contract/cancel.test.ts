import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { CancelOutcome } from '../../gen/stint/v1/job_service.ts';
import { Directive, LeaseLostReason } from '../../gen/stint/v1/lease.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { SettlementOutcome, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { jobIn, nameOf } from './standing.ts';
import { micros, reasonOf, seconds } from './stint.ts';

const scene = useService();

const LOST = 'FAILED_PRECONDITION/LEASE_LOST';
/** Of a new queue. */
const BUDGET_SECONDS = 30;

const { APPLIED, ALREADY_APPLIED } = SettlementOutcome;

async function beat({ stint }: Scene, leaseToken: string) {
  const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] });
  return results[0]?.result;
}

describe('CancelJob', () => {
  it.each(['SCHEDULED', 'READY', 'RETRY_WAIT', 'SUSPENDED'] as const)('ends a job that is %s at once', async (state) => {
    const one = scene();
    const { stint, namespace, job, events, claim, isSound } = one;
    const { jobId } = await jobIn(one, state);
    const before = await job(jobId);
    const answer = await stint.cancelJob({ namespace, jobId, reason: 'no longer needed' });
    expect(answer).toMatchObject({
      outcome: CancelOutcome.CANCELLED,
      job: { jobId, state: JobState.CANCELLED, attempt: before.attempt, life: 1, cancelReason: 'no longer needed', suspendReason: '' },
    });
    expect(answer.job?.finishedAt).toEqual(answer.job?.cancelRequestedAt);
    expect(await job(jobId)).toEqual(answer.job);
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'cancelled',
      state: JobState.CANCELLED,
      sequence: before.lastSequence + 1n,
      detail: { $case: 'cancelled', cancelled: { reason: 'no longer needed' } },
    });
    expect((await claim()).jobs).toEqual([]);
    await isSound();
  });

  it('of an ended job says so, and leaves the first reason', async () => {
    const one = scene();
    const { stint, namespace, enqueue, picture } = one;
    const { jobId } = await enqueue();
    await stint.cancelJob({ namespace, jobId, reason: 'first' });
    const before = await picture(jobId);
    expect(before.job.cancelReason).toBe('first');
    const again = await stint.cancelJob({ namespace, jobId, reason: 'second' });
    expect(again).toEqual({ outcome: CancelOutcome.ALREADY_TERMINAL, job: before.job });
    expect(await picture(jobId)).toEqual(before);
  });

  it('wakes whoever awaits the end', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue();
    const follower = stint.awaitTerminal({ namespace, jobId });
    expect(await follower.next()).toMatchObject({ terminal: false, job: { state: JobState.READY } });
    await stint.cancelJob({ namespace, jobId, reason: 'no longer needed' });
    expect(await follower.rest()).toMatchObject([{ terminal: true, job: { state: JobState.CANCELLED, cancelReason: 'no longer needed' } }]);
  });
});

describe('CancelJob of a job in flight', () => {
  it.each(['LEASED', 'RUNNING'] as const)('that is %s asks its holder, once', async (state) => {
    const one = scene();
    const { stint, namespace, events, picture, isSound } = one;
    const { jobId, live } = await jobIn(one, state);
    const asked = await stint.cancelJob({ namespace, jobId, reason: 'first' });
    expect(asked).toMatchObject({ outcome: CancelOutcome.CANCEL_REQUESTED, job: { state: JobState[state], cancelReason: 'first' } });
    expect(micros(asked.job?.cancelDeadline) - micros(asked.job?.cancelRequestedAt)).toBe(BUDGET_SECONDS * 1_000_000);
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'cancel_requested',
      state: JobState[state],
      occurredAt: asked.job?.cancelRequestedAt,
      detail: { $case: 'cancelRequested', cancelRequested: { reason: 'first', cancelDeadline: asked.job?.cancelDeadline } },
    });
    const before = await picture(jobId);
    const again = await stint.cancelJob({ namespace, jobId, reason: 'second' });
    expect(again).toEqual({ outcome: CancelOutcome.CANCEL_REQUESTED, job: before.job });
    expect(await picture(jobId)).toEqual(before);
    expect(await beat(one, live)).toMatchObject({
      renewed: { directive: Directive.CANCEL, cancelDeadline: asked.job?.cancelDeadline },
    });
    await isSound();
  });

  it('renews its lease up to the deadline and no further', async () => {
    const one = scene();
    const { stint, namespace, enqueueAndClaim, job } = one;
    const { jobId, leaseToken } = await enqueueAndClaim({}, { leaseDuration: seconds(3_600) });
    const asked = await stint.cancelJob({ namespace, jobId });
    const renewed = await beat(one, leaseToken);
    if (renewed?.$case !== 'renewed') return expect.unreachable();
    expect(renewed.renewed.expiresAt).toEqual(asked.job?.cancelDeadline);
    expect(micros(renewed.renewed.ttl)).toBeLessThanOrEqual(BUDGET_SECONDS * 1_000_000);
    expect((await job(jobId)).leaseExpiresAt).toEqual(asked.job?.cancelDeadline);
  });

  type End = [string, (one: Scene, leaseToken: string) => Promise<unknown>, object];

  const outcome = { outcome: APPLIED, job: { state: JobState.CANCELLED } };
  const ends: End[] = [
    [
      'fails it',
      ({ stint }, leaseToken) => stint.fail({ leaseToken, failure: { code: 'stopped' } }),
      { ...outcome, consequence: { $case: 'cancelled' } },
    ],
    ['gives it back', ({ stint }, leaseToken) => stint.release({ leaseToken }), outcome],
    ['gives it back for later', ({ stint }, leaseToken) => stint.release({ leaseToken, delay: seconds(60) }), outcome],
    ['sets it aside', ({ stint }, leaseToken) => stint.suspend({ leaseToken, reason: 'later' }), outcome],
    [
      'fails it among others',
      ({ stint }, leaseToken) => stint.settle({ settlements: [{ leaseToken, action: { $case: 'fail', fail: {} } }] }),
      { results: [{ result: { $case: 'fail', fail: { ...outcome, consequence: { $case: 'cancelled' } } } }] },
    ],
  ];
  it.each(ends)('is CANCELLED once its holder %s, and is not tried again', async (_name, end, expected) => {
    const one = scene();
    const { stint, namespace, enqueueAndClaim, claim, events, terminal, isSound } = one;
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.cancelJob({ namespace, jobId, reason: 'no longer needed' });
    expect(await end(one, leaseToken)).toMatchObject(expected);
    const ended = await terminal(jobId);
    expect(ended).toMatchObject({ state: JobState.CANCELLED, attempt: 1, cancelReason: 'no longer needed' });
    expect((await events(jobId)).slice(-2)).toMatchObject([
      { type: 'cancel_requested' },
      { type: 'cancelled', workerId: 'worker-1', detail: { cancelled: { reason: 'no longer needed' } } },
    ]);
    expect((await claim()).jobs).toEqual([]);
    await isSound();
  });

  it('is CANCELLED by a terminal failure too, and told again answers the same', async () => {
    const { stint, namespace, enqueueAndClaim, eventTypes } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({ retry: { maxAttempts: 1 } });
    await stint.cancelJob({ namespace, jobId });
    const failure = { code: 'broken', kind: FailureKind.TERMINAL };
    const first = await stint.fail({ leaseToken, failure });
    expect(first).toMatchObject({ outcome: APPLIED, consequence: { $case: 'cancelled' } });
    expect(await stint.fail({ leaseToken, failure })).toEqual({ ...first, outcome: ALREADY_APPLIED });
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'cancel_requested', 'cancelled']);
  });

  it('may still be started and acked: it SUCCEEDED', async () => {
    const { stint, namespace, enqueueAndClaim, eventTypes, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({}, { start: StartMode.EXPLICIT });
    await stint.cancelJob({ namespace, jobId });
    expect(await stint.start({ leaseToken })).toMatchObject({ job: { state: JobState.RUNNING } });
    const { outcome: acked, job } = await stint.ack({ leaseToken, result: Buffer.from('done') });
    expect([acked, nameOf(job?.state)]).toEqual([APPLIED, 'SUCCEEDED']);
    expect(await stint.cancelJob({ namespace, jobId })).toMatchObject({ outcome: CancelOutcome.ALREADY_TERMINAL });
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'cancel_requested', 'started', 'succeeded']);
    await isSound();
  });

  it.each([
    ['its life', { scheduleToClose: seconds(0.5) }],
    ['its try', { startToClose: seconds(0.5) }],
  ])('is forced at the end of %s if that comes first', async (_name, timeouts) => {
    const one = scene();
    const { stint, namespace, enqueueAndClaim, later, terminal, events, claim, isSound } = one;
    const { jobId, leaseToken } = await enqueueAndClaim({ timeouts });
    const { job } = await stint.cancelJob({ namespace, jobId, reason: 'no longer needed' });
    expect(micros(job?.cancelDeadline) - micros(job?.createdAt)).toBeLessThan(1_000_000);
    await later(0.6);
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    expect(await beat(one, leaseToken)).toMatchObject({ lost: { reason: LeaseLostReason.CANCELLED } });
    expect(await terminal(jobId)).toMatchObject({ state: JobState.CANCELLED, attempt: 1, cancelReason: 'no longer needed' });
    expect((await events(jobId)).at(-1)).toMatchObject({ type: 'cancelled', detail: { cancelled: { reason: 'no longer needed' } } });
    expect(await beat(one, leaseToken)).toMatchObject({ lost: { reason: LeaseLostReason.CANCELLED } });
    expect(await reasonOf(stint.fail({ leaseToken }))).toBe(LOST);
    expect((await claim()).jobs).toEqual([]);
    await isSound();
  });
});
