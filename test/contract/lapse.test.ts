/** What comes by elapsed time alone, where it takes longer than a test may wait: on a service of our own, whose time is played. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Disposition, JobState } from '../../gen/stint/v1/job.ts';
import { AbandonOutcome, CancelOutcome } from '../../gen/stint/v1/job_service.ts';
import { Directive, LeaseLostReason } from '../../gen/stint/v1/lease.ts';
import { SettlementOutcome, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { PlayedClock } from '../support/clock.ts';
import { startService, type TestService } from '../support/service.ts';
import { Scene } from './scene.ts';
import { connect, micros, reasonOf, seconds, type Stint } from './stint.ts';

const LOST = 'FAILED_PRECONDITION/LEASE_LOST';
const LEASE_MS = 30_000;
const GRACE_MS = 5_000;
const BUDGET_MS = 12_000;
const bound = { disposition: Disposition.OWNER_BOUND };
const noDelay = { initialBackoff: seconds(0), jitter: false };

const isGiven = (process.env['STINT_ADDRESS'] ?? '') !== '';
/** Skipped with STINT_ADDRESS: the time of that service is not ours to play. */
const describeOwn = describe.skipIf(isGiven);

const clock = new PlayedClock();
let service: TestService;
let stint: Stint;
beforeAll(async () => {
  service = await startService({ clock });
  stint = connect(service.address);
});
afterAll(async () => {
  stint.close();
  await service.stop();
});

const scene = () => new Scene(stint);

/** A scene whose queue forces a cancellation after a time of its own. */
async function hurriedScene(): Promise<Scene> {
  const one = scene();
  const { jobId } = await one.enqueue();
  await stint.cancelJob({ namespace: one.namespace, jobId });
  const { sql } = service.database;
  await sql`update stint.queue set cancellation_budget_ms = ${BUDGET_MS} where namespace = ${one.namespace}`;
  return one;
}

async function beat(leaseToken: string) {
  const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] });
  return results[0]?.result;
}

/** So much later, when upkeep has come by. */
async function pass(milliseconds: number): Promise<void> {
  clock.advance(milliseconds);
  await stint.runUpkeep({});
}

/** Keeps a lease alive over so long a time. */
async function beatFor(leaseToken: string, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += LEASE_MS / 2) {
    clock.advance(LEASE_MS / 2);
    expect((await beat(leaseToken))?.$case).toBe('renewed');
  }
}

describeOwn('a cancellation that is asked for', () => {
  it('leaves its holder the budget of the queue, to the last millisecond', async () => {
    const { namespace, enqueueAndClaim, isSound } = await hurriedScene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const { job } = await stint.cancelJob({ namespace, jobId });
    expect(micros(job?.cancelDeadline) - micros(job?.cancelRequestedAt)).toBe(BUDGET_MS * 1_000);
    clock.advance(BUDGET_MS - 1);
    expect(await beat(leaseToken)).toMatchObject({ renewed: { directive: Directive.CANCEL, expiresAt: job?.cancelDeadline } });
    await stint.runUpkeep({});
    expect((await stint.ack({ leaseToken })).job?.state).toBe(JobState.SUCCEEDED);
    await isSound();
  });

  it('is forced then: no grace, no ack, no other try', async () => {
    const { namespace, enqueueAndClaim, claim, job, events, terminal, isSound } = await hurriedScene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.cancelJob({ namespace, jobId, reason: 'no longer needed' });
    clock.advance(BUDGET_MS);
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    expect(await beat(leaseToken)).toEqual({ $case: 'lost', lost: { reason: LeaseLostReason.CANCELLED } });
    await pass(0);
    expect((await stint.release({ leaseToken })).outcome).toBe(SettlementOutcome.NOT_HELD);
    expect(await terminal(jobId)).toMatchObject({ state: JobState.CANCELLED, attempt: 1, cancelReason: 'no longer needed' });
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'cancelled',
      workerId: 'worker-1',
      detail: { cancelled: { reason: 'no longer needed' } },
    });
    expect(await reasonOf(stint.ack({ leaseToken }))).toBe(LOST);
    expect(await beat(leaseToken)).toEqual({ $case: 'lost', lost: { reason: LeaseLostReason.CANCELLED } });
    expect((await claim()).jobs).toEqual([]);
    expect(await stint.cancelJob({ namespace, jobId })).toEqual({ outcome: CancelOutcome.ALREADY_TERMINAL, job: await job(jobId) });
    await isSound();
  });

  it('holds for a job that is not started too, and for one whose holder is silent', async () => {
    const { namespace, enqueueAndClaim, terminal, isSound } = scene();
    const leased = await enqueueAndClaim({}, { start: StartMode.EXPLICIT, leaseDuration: seconds(1) });
    await stint.cancelJob({ namespace, jobId: leased.jobId, reason: 'a' });
    clock.advance(1_000 + GRACE_MS);
    expect(await beat(leased.leaseToken)).toMatchObject({ lost: { reason: LeaseLostReason.EXPIRED } });
    await pass(0);
    expect(await terminal(leased.jobId)).toMatchObject({ state: JobState.CANCELLED, attempt: 1, cancelReason: 'a' });
    await isSound();
  });

  it('of a lease that has lapsed finds the job that waits, and ends it at once', async () => {
    const { namespace, enqueueAndClaim, eventTypes, isSound } = scene();
    const { jobId } = await enqueueAndClaim();
    clock.advance(LEASE_MS + GRACE_MS);
    expect((await stint.cancelJob({ namespace, jobId })).outcome).toBe(CancelOutcome.CANCELLED);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'retry_scheduled', 'cancelled']);
    await isSound();
  });
});

describeOwn('an owner-bound job whose lease lapses', () => {
  it('before its start is tried again', async () => {
    const { enqueueAndClaim, claimOne, isSound } = scene();
    const { jobId } = await enqueueAndClaim({ ...bound, retry: noDelay }, { start: StartMode.EXPLICIT });
    await pass(LEASE_MS + GRACE_MS);
    expect(await claimOne()).toMatchObject({ jobId, job: { attempt: 2, failure: { code: 'stint.lease_expired' } } });
    await isSound();
  });

  it('after its start is ABANDONED', async () => {
    const { enqueueAndClaim, claim, terminal, events, isSound } = scene();
    const { jobId } = await enqueueAndClaim({ ...bound, retry: noDelay });
    await pass(LEASE_MS + GRACE_MS - 1);
    expect((await events(jobId)).at(-1)?.type).toBe('started');
    await pass(1);
    expect(await terminal(jobId)).toMatchObject({ state: JobState.ABANDONED, attempt: 1, failure: { code: 'stint.lease_expired' } });
    await pass(86_400_000);
    expect((await claim()).jobs).toEqual([]);
    await isSound();
  });

  it('before its start, but started by another holder of this life, is ABANDONED', async () => {
    const { enqueueAndClaim, claimOne, terminal, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({ ...bound, retry: noDelay });
    await stint.release({ leaseToken });
    await claimOne({ start: StartMode.EXPLICIT });
    await pass(LEASE_MS + GRACE_MS);
    expect(await terminal(jobId)).toMatchObject({ state: JobState.ABANDONED, attempt: 1 });
    await isSound();
  });

  it('before its start in this life, though started in a former one, is tried again', async () => {
    const { namespace, enqueueAndClaim, claimOne, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({ ...bound, retry: noDelay });
    await stint.cancelJob({ namespace, jobId });
    await stint.fail({ leaseToken });
    await stint.retryJob({ namespace, jobId });
    await claimOne({ start: StartMode.EXPLICIT });
    await pass(LEASE_MS + GRACE_MS);
    expect(await claimOne()).toMatchObject({ jobId, job: { life: 2, attempt: 2 } });
    await isSound();
  });
});

describeOwn('a request to abandon', () => {
  it('is never carried out by time alone, but once the lease has lapsed', async () => {
    const { namespace, enqueueAndClaim, job, terminal, events, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.requestAbandon({ namespace, jobId, reason: 'the machine is gone' });
    await beatFor(leaseToken, 300_000);
    await stint.runUpkeep({});
    expect((await job(jobId)).state).toBe(JobState.RUNNING);
    await pass(LEASE_MS + GRACE_MS);
    expect(await terminal(jobId)).toMatchObject({ state: JobState.ABANDONED, attempt: 1, failure: { code: 'stint.lease_expired' } });
    expect((await events(jobId)).at(-1)).toMatchObject({
      type: 'abandoned',
      detail: { abandoned: { reason: 'the machine is gone', failure: { code: 'stint.lease_expired' } } },
    });
    await isSound();
  });

  it('that comes after the lapse finds nothing to wait for', async () => {
    const { namespace, enqueueAndClaim, job, isSound } = scene();
    const { jobId } = await enqueueAndClaim(bound);
    clock.advance(LEASE_MS + GRACE_MS);
    const { outcome } = await stint.requestAbandon({ namespace, jobId, reason: 'late' });
    expect([AbandonOutcome.ABANDONED, AbandonOutcome.ALREADY_TERMINAL]).toContain(outcome);
    expect((await job(jobId)).state).toBe(JobState.ABANDONED);
    await isSound();
  });

  it('holds for the tries that follow in its life, and not beyond', async () => {
    const { namespace, enqueueAndClaim, claimOne, terminal, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({ retry: noDelay });
    await stint.requestAbandon({ namespace, jobId });
    await stint.cancelJob({ namespace, jobId });
    await stint.fail({ leaseToken });
    await stint.retryJob({ namespace, jobId });
    await claimOne();
    await pass(LEASE_MS + GRACE_MS);
    const later = await claimOne();
    expect(later.job).toMatchObject({ jobId, life: 2, attempt: 2 });
    await stint.requestAbandon({ namespace, jobId });
    await stint.release({ leaseToken: later.leaseToken });
    await claimOne();
    await pass(LEASE_MS + GRACE_MS);
    expect(await terminal(jobId)).toMatchObject({ state: JobState.ABANDONED, life: 2, attempt: 2 });
    await isSound();
  });
});

describeOwn('a round of upkeep', () => {
  it('ends each lapse as what it is', async () => {
    const { namespace, enqueue, claim, job, isSound } = scene();
    const HOUR = seconds(3_600);
    const enqueued = [
      await enqueue({ priority: 9, retry: { maxAttempts: 1 } }),
      await enqueue({ priority: 8 }),
      await enqueue({ priority: 7, ...bound }),
      await enqueue({ priority: 6, timeouts: { startToClose: HOUR } }),
      await enqueue({ priority: 5, timeouts: { scheduleToClose: HOUR } }),
    ];
    const waiting = await enqueue({ timeouts: { scheduleToStart: HOUR } });
    await claim({ maxJobs: 3, leaseDuration: seconds(3_600 - GRACE_MS / 1_000) });
    await claim({ maxJobs: 2, leaseDuration: seconds(86_400) });
    await stint.cancelJob({ namespace, jobId: enqueued[1]?.jobId ?? '' });
    await pass(3_600_000);
    const ended = async () => {
      const jobs = await Promise.all([...enqueued, waiting].map(({ jobId }) => job(jobId)));
      return jobs.map(({ state, failure }) => [state, failure?.code]);
    };
    // A round of the service's own may hold some of them yet.
    await expect.poll(ended).toEqual([
      [JobState.FAILED, 'stint.lease_expired'],
      [JobState.CANCELLED, undefined],
      [JobState.ABANDONED, 'stint.lease_expired'],
      [JobState.RETRY_WAIT, 'stint.timeout.start_to_close'],
      [JobState.FAILED, 'stint.timeout.schedule_to_close'],
      [JobState.FAILED, 'stint.timeout.schedule_to_start'],
    ]);
    await isSound();
  });
});
