import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { LeaseLostReason } from '../../gen/stint/v1/lease.ts';
import { QueueMode } from '../../gen/stint/v1/queue.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { openStatus } from '../support/rich-status.ts';
import { type Scene, useService } from './scene.ts';
import { itemReason, micros, reasonOf, refusal, seconds } from './stint.ts';
import { openWork, type Saying, WorkStream } from './work-stream.ts';

const scene = useService();

const enqueueMany = (one: Scene, count: number) => Promise.all(Array.from({ length: count }, () => one.enqueue()));

describe('Work', () => {
  it('assigns what is there and what comes, as far as there are credits, and settles it', async () => {
    const one = scene();
    await enqueueMany(one, 3);
    const { stream } = await openWork(one, { credits: 2 });
    const first = await stream.assigned(2);
    const [acked] = await stream.ack(...first.slice(0, 1));
    expect(acked?.result).toMatchObject({ $case: 'ack', ack: { outcome: SettlementOutcome.APPLIED, job: { state: JobState.SUCCEEDED } } });
    const third = await stream.assignedOne();
    await one.enqueue();
    // No credit is left for the fourth: that one is for whoever asks.
    const fourth = await one.claimOne({ workerId: 'another' });
    expect([...first, third].map(({ jobId }) => jobId)).not.toContain(fourth.jobId);
    await stream.ack(...first.slice(1), third);
    const fifth = await one.enqueue();
    expect((await stream.assignedOne()).jobId).toBe(fifth.jobId);
    await stream.finish();
    await one.isSound();
  });

  it('tells how often to heartbeat: a third of the shortest lease of its queues, or of the one asked for', async () => {
    const one = scene();
    await one.stint.putQueue({
      namespace: one.namespace,
      queue: { name: 'brief', leaseDuration: seconds(9) },
      updateMask: ['lease_duration'],
    });
    const asDefault = await openWork(one);
    const asQueue = await openWork(one, { queues: [one.queue, 'brief'] });
    const asAsked = await openWork(one, { queues: ['brief'], leaseDuration: seconds(60) });
    expect([asDefault, asQueue, asAsked].map(({ opened }) => micros(opened.heartbeatInterval) / 1e6)).toEqual([10, 3, 20]);
    for (const { stream } of [asDefault, asQueue, asAsked]) await stream.finish();
  });

  it('takes back no job when credits are lowered, and none comes before they are raised', async () => {
    const one = scene();
    const { stream } = await openWork(one, { credits: 2 });
    await enqueueMany(one, 2);
    const jobs = await stream.assigned(2);
    stream.setCredits(0);
    expect((await stream.heartbeat(...jobs)).map(({ result }) => result?.$case)).toEqual(['renewed', 'renewed']);
    await stream.ack(...jobs);
    const { jobId } = await one.enqueue();
    await stream.heartbeat();
    expect((await one.job(jobId)).state).toBe(JobState.READY);
    stream.setCredits(1);
    expect((await stream.assignedOne()).jobId).toBe(jobId);
    await stream.finish();
  });

  it('leaves leases to their time when the stream is lost, to be settled anywhere', async () => {
    const one = scene();
    await enqueueMany(one, 2);
    const { stream } = await openWork(one, { credits: 2 });
    const jobs = await stream.assigned(2);
    stream.cancel();
    const other = await openWork(one);
    const [first, second] = jobs.map(({ leaseToken }) => leaseToken);
    expect((await one.stint.ack({ leaseToken: first ?? '' })).outcome).toBe(SettlementOutcome.APPLIED);
    const [result] = await other.stream.settle('s', [{ leaseToken: second ?? '', action: { $case: 'ack', ack: {} } }]);
    expect(result?.result).toMatchObject({ $case: 'ack', ack: { outcome: SettlementOutcome.APPLIED } });
    await other.stream.finish();
    await one.isSound();
  });

  it('counts what its worker brings along from another stream', async () => {
    const one = scene();
    await enqueueMany(one, 1);
    const former = await openWork(one);
    const jobs = await former.stream.assigned(1);
    former.stream.cancel();
    const { stream } = await openWork(one, { credits: 0 });
    await stream.heartbeat(...jobs);
    stream.setCredits(1);
    await enqueueMany(one, 1);
    await stream.heartbeat(...jobs);
    expect(stream.unread).toEqual([]);
    await stream.ack(...jobs);
    expect(await stream.assigned(1)).toHaveLength(1);
    await stream.finish();
  });

  it('tells of a cancellation at once, with its deadline', async () => {
    const one = scene();
    await one.enqueue();
    const { stream } = await openWork(one);
    const job = await stream.assignedOne();
    await one.stint.cancelJob({ namespace: one.namespace, jobId: job.jobId });
    const { cancel } = await stream.next('cancel');
    expect(cancel.leaseToken).toBe(job.leaseToken);
    expect(micros(cancel.cancelDeadline)).toBeGreaterThan(0);
    const [failed] = await stream.settle('f', [{ leaseToken: job.leaseToken, action: { $case: 'fail', fail: {} } }]);
    expect(failed?.result?.$case).toBe('fail');
    expect((await one.job(job.jobId)).state).toBe(JobState.CANCELLED);
    await stream.finish();
  });

  it('tells of a lease that is gone, and gives its place to another job', async () => {
    const one = scene();
    await one.enqueue({ timeouts: { startToClose: seconds(1) }, retry: { maxAttempts: 1 } });
    const { stream } = await openWork(one);
    const job = await stream.assignedOne();
    const { leaseLost } = await stream.next('leaseLost');
    expect(leaseLost).toEqual({ leaseToken: job.leaseToken, reason: LeaseLostReason.TIMED_OUT });
    const next = await one.enqueue();
    expect((await stream.assignedOne()).jobId).toBe(next.jobId);
    await stream.finish();
  });

  it('does not tell of a lease that its worker settled elsewhere, and gives its place to another job', async () => {
    const one = scene();
    await one.enqueue();
    const { stream } = await openWork(one);
    const job = await stream.assignedOne();
    await one.stint.ack({ leaseToken: job.leaseToken });
    const next = await one.enqueue();
    expect((await stream.assignedOne()).jobId).toBe(next.jobId);
    expect(stream.unread).toEqual([]);
    await stream.finish();
  });

  it('tells of a queue that drains', async () => {
    const one = scene();
    await one.enqueue();
    const { stream } = await openWork(one);
    await stream.assigned(1);
    await one.stint.applyAction({ namespace: one.namespace, queue: one.queue, action: OperatorAction.DRAIN_IN_FLIGHT, reason: 'test' });
    expect((await stream.next('drain')).drain).toEqual({ queue: one.queue });
    await stream.finish();
  });

  it('gives up a lease that its worker does not list for two intervals', async () => {
    const one = scene();
    await enqueueMany(one, 2);
    const { stream } = await openWork(one, { credits: 2, leaseDuration: seconds(3) });
    const [kept, forgotten] = await stream.assigned(2);
    const started = performance.now();
    let isLost = false;
    const lost = stream.next('leaseLost').finally(() => (isLost = true));
    while (!isLost && kept !== undefined) {
      await stream.heartbeat(kept);
      await one.later(0.2);
    }
    expect((await lost).leaseLost).toEqual({ leaseToken: forgotten?.leaseToken, reason: LeaseLostReason.EXPIRED });
    // Its grace would have left it five seconds more.
    expect(performance.now() - started).toBeLessThan(5_000);
    await stream.finish();
  });

  it('is refused by a queue that answers Claim only, when it opens and when an operator makes it so', async () => {
    const one = scene();
    const { stream } = await openWork(one);
    await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue, mode: QueueMode.PULL_ONLY }, updateMask: ['mode'] });
    expect(await reasonOf(stream.ended())).toBe('FAILED_PRECONDITION/MODE_MISMATCH');
    expect(await reasonOf(openWork(one))).toBe('FAILED_PRECONDITION/MODE_MISMATCH');
  });

  it('is served by a queue that answers Work only', async () => {
    const one = scene();
    await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue, mode: QueueMode.PUSH_ONLY }, updateMask: ['mode'] });
    const { jobId } = await one.enqueue();
    const { stream } = await openWork(one);
    expect((await stream.assignedOne()).jobId).toBe(jobId);
    await stream.finish();
  });
});

type Refused = readonly [name: string, request: Saying, field: string];

const before: readonly Refused[] = [
  ['a message before open', { $case: 'credits', credits: 1 }, 'open'],
  ['no worker', { $case: 'open', open: { queues: ['q'] } }, 'open.worker_id'],
  ['no queue', { $case: 'open', open: { workerId: 'w' } }, 'open.queues'],
  ['credits below zero', { $case: 'open', open: { workerId: 'w', queues: ['q'], credits: -1 } }, 'open.credits'],
  ['a lease of no time', { $case: 'open', open: { workerId: 'w', queues: ['q'], leaseDuration: seconds(0) } }, 'open.lease_duration'],
];

const once: readonly Refused[] = [
  ['a second open', { $case: 'open', open: { workerId: 'w', queues: ['q'] } }, 'open'],
  ['credits below zero', { $case: 'credits', credits: -1 }, 'credits'],
  ['nothing said', undefined, 'request'],
  [
    'progress of a lease that is not held',
    { $case: 'heartbeat', heartbeat: { leases: [{ leaseToken: 't' }] } },
    'heartbeat.leases[0].lease_token',
  ],
];

describe('Work refuses', () => {
  const invalidOf = async (call: Promise<unknown>) => {
    const { info, violations } = await refusal(call);
    return [info?.reason, ...violations.map(({ field }) => field)];
  };

  it.each(before)('%s', async (_name, request, field) => {
    const stream = new WorkStream(scene().stint);
    stream.say(request);
    expect(await invalidOf(stream.ended())).toEqual(['INVALID_FIELD', field]);
  });

  it.each(once)('%s once it is open, and leaves leases alone', async (_name, request, field) => {
    const one = scene();
    const { jobId } = await one.enqueue();
    const { stream } = await openWork(one);
    const job = await stream.assignedOne();
    stream.say(request);
    expect(await invalidOf(stream.ended())).toEqual(['INVALID_FIELD', field]);
    expect((await one.job(jobId)).state).toBe(JobState.RUNNING);
    expect((await one.stint.ack({ leaseToken: job.leaseToken })).outcome).toBe(SettlementOutcome.APPLIED);
  });

  it('a settlement of a foreign token at its place only', async () => {
    const one = scene();
    await one.enqueue();
    const { stream } = await openWork(one);
    const job = await stream.assignedOne();
    const results = await stream.settle('s', [
      { leaseToken: 'made-up', action: { $case: 'ack', ack: {} } },
      { leaseToken: job.leaseToken, action: { $case: 'ack', ack: {} } },
      { leaseToken: job.leaseToken },
    ]);
    expect(results.map(({ result }) => (result?.$case === 'error' ? itemReason(result.error) : result?.$case))).toEqual([
      'FAILED_PRECONDITION/LEASE_LOST',
      'ack',
      'INVALID_ARGUMENT/INVALID_FIELD',
    ]);
    const unsaid = results[2]?.result;
    const violations = unsaid?.$case === 'error' ? openStatus(unsaid.error).violations : [];
    expect(violations.map(({ field }) => field)).toEqual(['settle.settlements[2].action']);
    await stream.finish();
  });
});
