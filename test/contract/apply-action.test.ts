/** `ApplyAction` on a queue: what each status lets through, and what the answer says. */
import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { Directive } from '../../gen/stint/v1/lease.ts';
import { QueueStatus } from '../../gen/stint/v1/queue.ts';
import { ApplyActionRequest, OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { failedJob, letters } from './failed-jobs.ts';
import { parked } from './parked.ts';
import { type Scene, useService } from './scene.ts';
import { held, itemReason, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const { PAUSE, RESUME, DRAIN_BACKLOG, DRAIN_IN_FLIGHT } = OperatorAction;
const { ASSIGNED, PAUSED } = ClaimDecision;
const DRAINING = 'FAILED_PRECONDITION/QUEUE_DRAINING';

/** Field 3 as the client of a later version may send it. */
const UNKNOWN_ACTION = ApplyActionRequest.decode(Uint8Array.of(3 << 3, 99)).action;

const act = ({ stint, namespace, queue }: Scene, action: OperatorAction, told: { reason?: string; requestId?: string } = {}) =>
  stint.applyAction({ namespace, queue, action, ...told });

/** What each action leaves open, and what the queue is then. */
const OPEN = [
  { name: 'RESUME', action: RESUME, status: QueueStatus.ACTIVE, enqueue: true, claim: true },
  { name: 'PAUSE', action: PAUSE, status: QueueStatus.PAUSED, enqueue: true, claim: false },
  { name: 'DRAIN_BACKLOG', action: DRAIN_BACKLOG, status: QueueStatus.DRAINING_BACKLOG, enqueue: false, claim: true },
  { name: 'DRAIN_IN_FLIGHT', action: DRAIN_IN_FLIGHT, status: QueueStatus.DRAINING_IN_FLIGHT, enqueue: false, claim: false },
];

const draining = OPEN.filter(({ enqueue }) => !enqueue);
const stopping = OPEN.filter(({ claim }) => !claim);

describe.each(OPEN)('after $name', ({ action, status, enqueue, claim }) => {
  it(`Enqueue is ${enqueue ? 'open' : 'refused'} and Claim ${claim ? 'open' : 'PAUSED'}`, async () => {
    const one = scene();
    const { jobId } = await one.enqueue({ idempotencyKey: 'k' });
    const { queue } = await act(one, action, { reason: 'because' });
    expect(queue).toMatchObject({ name: one.queue, status, statusReason: 'because' });
    if (enqueue) await one.enqueue();
    else expect(await reasonOf(one.enqueue())).toBe(DRAINING);
    // What is there already is answered, whatever the queue takes.
    expect(
      await one.stint.enqueue({ namespace: one.namespace, job: { queue: one.queue, type: 'test', idempotencyKey: 'k' } }),
    ).toMatchObject({
      deduplicated: true,
      job: { jobId },
    });
    const { jobs, decision } = await one.claim();
    expect([jobs.map(({ job }) => job?.jobId), decision]).toEqual(claim ? [[jobId], ASSIGNED] : [[], PAUSED]);
    await one.isSound();
  });

  it('who holds a job settles it, and is told whether to claim on', async () => {
    const one = scene();
    const [first, second, third] = [await one.enqueueAndClaim(), await one.enqueueAndClaim(), await one.enqueueAndClaim()];
    await act(one, action);
    await one.stint.cancelJob({ namespace: one.namespace, jobId: second.jobId });
    const leases = [first, second].map(({ leaseToken }) => ({ leaseToken }));
    const { results } = await one.stint.heartbeat({ workerId: 'worker-1', leases });
    const directive = status === QueueStatus.DRAINING_IN_FLIGHT ? Directive.DRAIN : Directive.CONTINUE;
    expect(results.map(({ result }) => (result?.$case === 'renewed' ? result.renewed.directive : null))).toEqual([
      directive,
      Directive.CANCEL,
    ]);
    expect((await one.stint.ack({ leaseToken: first.leaseToken })).job?.state).toBe(JobState.SUCCEEDED);
    expect((await one.stint.fail({ leaseToken: second.leaseToken })).job?.state).toBe(JobState.CANCELLED);
    expect((await one.stint.release({ leaseToken: third.leaseToken })).job?.state).toBe(JobState.READY);
    await one.isSound();
  });

  it('a repetition is no change, though its reason counts', async () => {
    const one = scene();
    await one.enqueue();
    expect((await act(one, action, { reason: 'first' })).changed).toBe(status !== QueueStatus.ACTIVE);
    expect(await act(one, action, { reason: 'second' })).toMatchObject({ changed: false, queue: { status, statusReason: 'second' } });
    const { queue } = await one.stint.getQueue({ namespace: one.namespace, queue: one.queue });
    expect(queue).toMatchObject({ status, statusReason: 'second' });
    expect((await act(one, RESUME)).changed).toBe(status !== QueueStatus.ACTIVE);
    await one.enqueue();
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(2);
    await one.isSound();
  });
});

describe.each(draining)('after $name', ({ action }) => {
  it('no new life and no batch item comes in, and the refusal says why', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const { jobId, deadLetterId } = await failedJob(one);
    await act(one, action);
    const { info, names } = await refusal(one.enqueue());
    expect(info).toMatchObject({ reason: 'QUEUE_DRAINING', metadata: { namespace, queue } });
    expect(names).toEqual(['ErrorInfo', 'PreconditionFailure']);
    const { results } = await stint.enqueueBatch({ namespace, jobs: [{ queue }, { queue: 'other' }] });
    expect(results.map(({ result }) => (result?.$case === 'error' ? itemReason(result.error) : 'new'))).toEqual([DRAINING, 'new']);
    expect(await reasonOf(stint.enqueueBatch({ namespace, atomic: true, jobs: [{ queue: 'other' }, { queue }] }))).toBe(DRAINING);
    expect(await reasonOf(stint.retryJob({ namespace, jobId }))).toBe(DRAINING);
    const [replayed] = (await stint.replayDeadLetters({ namespace, deadLetterIds: [deadLetterId] })).results;
    expect(replayed?.result?.$case === 'error' ? itemReason(replayed.result.error) : '').toBe(DRAINING);
    expect(await letters(one)).toHaveLength(1);
    await act(one, RESUME);
    expect((await stint.retryJob({ namespace, jobId })).job?.state).toBe(JobState.READY);
    await one.isSound();
  });
});

describe.each(stopping)('after $name', ({ action }) => {
  it('who waits gets nothing, is told PAUSED, and goes on at RESUME at once', async () => {
    const one = scene();
    await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue } });
    const before = await parked(one, { wait: seconds(1.5) });
    await act(one, action);
    expect(await before.answer).toEqual({ jobs: [], decision: PAUSED });
    const waiting = await parked(one);
    await act(one, RESUME);
    const { jobId } = await one.enqueue();
    expect(held((await waiting.answer).jobs[0]).jobId).toBe(jobId);
    await one.isSound();
  });

  it('what waited in the queue is given at RESUME at once', async () => {
    const one = scene();
    const { jobId } = await one.enqueue();
    await act(one, action);
    const waiting = await parked(one);
    await act(one, RESUME);
    expect(held((await waiting.answer).jobs[0]).jobId).toBe(jobId);
  });

  it('the other queues of a claim go on', async () => {
    const one = scene();
    await one.enqueue();
    await act(one, action);
    const { jobId } = await one.enqueue({ queue: 'other' });
    const { jobs } = await one.claim({ queues: [one.queue, 'other'], maxJobs: 10 });
    expect(jobs.map(({ job }) => job?.jobId)).toEqual([jobId]);
    expect((await one.claim({ queues: [one.queue, 'other'] })).decision).toBe(ClaimDecision.EMPTY);
  });
});

describe('ApplyAction', () => {
  it('goes from each status to each other', async () => {
    const one = scene();
    await one.enqueue();
    for (const from of OPEN) {
      for (const to of OPEN) {
        await act(one, from.action);
        const { queue, changed } = await act(one, to.action);
        expect([queue?.status, changed]).toEqual([to.status, from !== to]);
      }
    }
    await one.isSound();
  });

  it('answers a repeated request the same, though the queue has moved on', async () => {
    const one = scene();
    await one.enqueue();
    const ask = () => act(one, PAUSE, { requestId: 'r-1', reason: 'once' });
    const first = await ask();
    expect(first).toMatchObject({ changed: true, queue: { status: QueueStatus.PAUSED } });
    expect(await ask()).toEqual(first);
    await act(one, RESUME);
    expect(await ask()).toEqual(first);
    const { queue } = await one.stint.getQueue({ namespace: one.namespace, queue: one.queue });
    expect(queue?.status).toBe(QueueStatus.ACTIVE);
    for (const call of [() => act(one, RESUME, { requestId: 'r-1' }), () => act(one, PAUSE, { requestId: 'r-1', reason: 'other' })]) {
      const { violations } = await refusal(call());
      expect(violations.map(({ field }) => field)).toEqual(['request_id']);
    }
  });

  it('asked many times at once is done once', async () => {
    const one = scene();
    await one.enqueue();
    const answers = await Promise.all(Array.from({ length: 10 }, () => act(one, DRAIN_BACKLOG, { requestId: 'r' })));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    const others = await Promise.all(Array.from({ length: 10 }, () => act(one, RESUME)));
    expect(others.filter(({ changed }) => changed)).toHaveLength(1);
  });

  it('refuses what is out of its bounds, by the name of the field', async () => {
    const { stint, namespace, queue, enqueue } = scene();
    await enqueue();
    const fieldsOf = async (request: Parameters<typeof stint.applyAction>[0]) =>
      (await refusal(stint.applyAction({ namespace, queue, action: PAUSE, ...request }))).violations.map(({ field }) => field);
    expect(await fieldsOf({ action: OperatorAction.UNSPECIFIED })).toEqual(['action']);
    expect(await fieldsOf({ action: UNKNOWN_ACTION })).toEqual(['action']);
    expect(await fieldsOf({ reason: 'x'.repeat(1_025) })).toEqual(['reason']);
    expect(await fieldsOf({ requestId: 'x'.repeat(257) })).toEqual(['request_id']);
    expect(await fieldsOf({ queue: 'no spaces' })).toEqual(['queue']);
    expect(await fieldsOf({ namespace: 'no spaces' })).toEqual(['namespace']);
    expect(await fieldsOf({ queue: '', action: DRAIN_BACKLOG })).toEqual(['action']);
    expect(await fieldsOf({ queue: '', action: DRAIN_IN_FLIGHT })).toEqual(['action']);
    expect((await stint.getQueue({ namespace, queue })).queue?.status).toBe(QueueStatus.ACTIVE);
    expect((await stint.applyAction({ namespace, queue, action: PAUSE, reason: 'x'.repeat(1_024) })).changed).toBe(true);
  });

  it('finds no queue that is not there, and leaves its request free', async () => {
    const one = scene();
    const { info } = await refusal(act(one, PAUSE, { requestId: 'r' }));
    expect(info).toMatchObject({ reason: 'QUEUE_NOT_FOUND', metadata: { namespace: one.namespace, queue: one.queue } });
    await one.enqueue();
    expect(await act(one, PAUSE, { requestId: 'r' })).toMatchObject({ changed: true });
  });
});
