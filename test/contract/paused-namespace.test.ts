/** `ApplyAction` without a queue: a whole namespace stops and goes on, whatever its queues are. */
import { describe, expect, it } from 'vitest';
import { QueueStatus } from '../../gen/stint/v1/queue.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { parked } from './parked.ts';
import { type Scene, useService } from './scene.ts';
import { held, refusal, seconds } from './stint.ts';

const scene = useService();

const { PAUSE, RESUME, DRAIN_BACKLOG } = OperatorAction;
const NOTHING = { jobs: [], decision: ClaimDecision.PAUSED };

const act = ({ stint, namespace }: Scene, action: OperatorAction, told: { reason?: string; requestId?: string; queue?: string } = {}) =>
  stint.applyAction({ namespace, action, ...told });

describe('a paused namespace', () => {
  it('gives no job of any of its queues, takes new ones, and leaves other namespaces alone', async () => {
    const [one, another] = [scene(), scene()];
    await one.enqueue();
    const running = await one.enqueueAndClaim({ queue: 'other' }, { queues: ['other'] });
    expect(await act(one, PAUSE, { reason: 'tonight' })).toEqual({ queue: undefined, changed: true });
    await one.enqueue({ queue: 'new' });
    const queues = [one.queue, 'other', 'new'];
    for (const queue of queues) {
      await one.enqueue({ queue });
      expect(await one.claim({ queues: [queue] })).toEqual(NOTHING);
      expect((await one.stint.getQueue({ namespace: one.namespace, queue })).queue?.status).toBe(QueueStatus.ACTIVE);
    }
    expect(await one.claim({ queues, wait: seconds(0.1), maxJobs: 10 })).toEqual(NOTHING);
    await one.stint.ack({ leaseToken: running.leaseToken });
    await another.enqueueAndClaim();
    expect(await act(one, RESUME)).toEqual({ queue: undefined, changed: true });
    expect((await one.claim({ queues, maxJobs: 10 })).jobs).toHaveLength(5);
    await one.isSound();
  });

  it('gives what it has at RESUME at once, to all who wait', async () => {
    const one = scene();
    await one.enqueue();
    await one.enqueue({ queue: 'other' });
    await act(one, PAUSE);
    const waiting = [
      await parked(one),
      await parked(one, { queues: ['other'] }),
      await parked(one, { queues: ['other', 'not-there-yet'] }),
    ];
    await act(one, RESUME);
    expect(held((await waiting[0]?.answer)?.jobs[0]).job.queue).toBe(one.queue);
    const { jobId } = await one.enqueue({ queue: 'other' });
    const ids = await Promise.all(waiting.slice(1).map(async ({ answer }) => held((await answer).jobs[0]).jobId));
    expect(ids).toContain(jobId);
    await one.isSound();
  });

  it('stops who waits already', async () => {
    const one = scene();
    await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue } });
    const waiting = await parked(one, { wait: seconds(1.5) });
    await act(one, PAUSE);
    await one.enqueue();
    expect(await waiting.answer).toEqual(NOTHING);
  });

  it('and a queue of it are stopped one by one', async () => {
    const one = scene();
    await one.enqueue();
    const ofQueue = (action: OperatorAction) => act(one, action, { queue: one.queue });
    await act(one, PAUSE);
    expect(await ofQueue(PAUSE)).toMatchObject({ changed: true, queue: { status: QueueStatus.PAUSED } });
    await act(one, RESUME);
    expect(await one.claim()).toEqual(NOTHING);
    await act(one, PAUSE);
    expect(await ofQueue(RESUME)).toMatchObject({ changed: true, queue: { status: QueueStatus.ACTIVE } });
    expect(await one.claim()).toEqual(NOTHING);
    expect(await ofQueue(DRAIN_BACKLOG)).toMatchObject({ changed: true });
    expect(await one.claim()).toEqual(NOTHING);
    await act(one, RESUME);
    expect((await one.claim()).jobs).toHaveLength(1);
    await one.isSound();
  });

  it('is paused and resumed once, however often that is asked for', async () => {
    const one = scene();
    expect((await act(one, RESUME)).changed).toBe(false);
    expect((await act(one, PAUSE)).changed).toBe(true);
    expect((await act(one, PAUSE)).changed).toBe(false);
    expect((await act(one, RESUME)).changed).toBe(true);
    expect((await act(one, RESUME)).changed).toBe(false);
    await one.enqueueAndClaim();
  });

  it('answers a repeated request the same, and does it no second time', async () => {
    const one = scene();
    const first = await act(one, PAUSE, { requestId: 'r' });
    await act(one, RESUME);
    expect(await act(one, PAUSE, { requestId: 'r' })).toEqual(first);
    await one.enqueueAndClaim();
    const { violations } = await refusal(act(one, PAUSE, { requestId: 'r', queue: one.queue }));
    expect(violations.map(({ field }) => field)).toEqual(['request_id']);
  });
});
