import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { QueueMode } from '../../gen/stint/v1/queue.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { held, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const MISMATCH = 'FAILED_PRECONDITION/MODE_MISMATCH';
const { PULL_ONLY, PUSH_ONLY, PUSH_PULL } = QueueMode;

const setMode = ({ stint, namespace, queue }: Scene, mode: QueueMode, name = queue) =>
  stint.putQueue({ namespace, queue: { name, mode }, updateMask: ['mode'] });

/** Reasons that so many claims are refused with, begun before `change` and long enough for each of them to wait. */
async function refusedBy(one: Scene, count: number, request: Parameters<Scene['claim']>[0], change: () => Promise<unknown>) {
  const claims = Array.from({ length: count }, (_, n) => reasonOf(one.claim({ workerId: `w-${n}`, wait: seconds(4), ...request })));
  const reasons = Promise.all(claims);
  await one.later(0.2);
  await change();
  const changed = performance.now();
  return { reasons: await reasons, lateMs: performance.now() - changed };
}

describe('Claim', () => {
  it.each([
    ['PULL_ONLY', PULL_ONLY],
    ['PUSH_PULL', PUSH_PULL],
    ['no mode', QueueMode.UNSPECIFIED],
  ])('is served by a queue with %s', async (_name, mode) => {
    const one = scene();
    await setMode(one, mode);
    const { jobId } = await one.enqueue();
    expect((await one.claimOne()).jobId).toBe(jobId);
  });

  it('is refused by a queue with PUSH_ONLY, with a wait as well, and takes nothing', async () => {
    const one = scene();
    await setMode(one, PUSH_ONLY);
    const { jobId } = await one.enqueue();
    const before = await one.picture(jobId);
    for (const wait of [undefined, seconds(10)]) {
      const { code, info, names } = await refusal(one.claim({ wait }));
      expect([code, info?.reason]).toEqual([status.FAILED_PRECONDITION, 'MODE_MISMATCH']);
      expect(names).toContain('PreconditionFailure');
    }
    expect(await one.picture(jobId)).toEqual(before);
    expect(before.job.state).toBe(JobState.READY);
    await setMode(one, PULL_ONLY);
    expect((await one.claimOne()).jobId).toBe(jobId);
    await one.isSound();
  });

  it('is refused where all of the named queues have PUSH_ONLY, paused ones too', async () => {
    const one = scene();
    for (const name of ['a', 'b']) await setMode(one, PUSH_ONLY, name);
    expect(await reasonOf(one.claim({ queues: ['b', 'a'] }))).toBe(MISMATCH);
    expect(await reasonOf(one.claim({ queues: ['a', 'a'] }))).toBe(MISMATCH);
    await one.stint.applyAction({ namespace: one.namespace, queue: 'a', action: OperatorAction.PAUSE });
    expect(await reasonOf(one.claim({ queues: ['b', 'a'] }))).toBe(MISMATCH);
    await one.stint.applyAction({ namespace: one.namespace, action: OperatorAction.PAUSE });
    expect(await reasonOf(one.claim({ queues: ['b', 'a'] }))).toBe(MISMATCH);
  });

  it('of several queues gets what those give that allow it', async () => {
    const one = scene();
    await setMode(one, PUSH_ONLY, 'pushed');
    await setMode(one, PULL_ONLY, 'pulled');
    const pushed = await one.enqueue({ queue: 'pushed', priority: 9 });
    const [first, second] = [await one.enqueue({ queue: 'pulled' }), await one.enqueue({ queue: 'both', priority: 1 })];
    const { jobs, decision } = await one.claim({ queues: ['pushed', 'pulled', 'both'], maxJobs: 10 });
    expect([decision, jobs.map(({ job }) => job?.jobId)]).toEqual([ClaimDecision.ASSIGNED, [second.jobId, first.jobId]]);
    expect((await one.claim({ queues: ['pushed', 'pulled'] })).decision).toBe(ClaimDecision.EMPTY);
    expect((await one.job(pushed.jobId)).state).toBe(JobState.READY);
  });

  it('waits where one of the named queues is not there yet', async () => {
    const one = scene();
    await setMode(one, PUSH_ONLY);
    expect((await one.claim({ queues: [one.queue, 'absent'] })).decision).toBe(ClaimDecision.EMPTY);
    const waiting = one.claimOne({ queues: [one.queue, 'absent'] });
    const { jobId } = await one.enqueue({ queue: 'absent' });
    expect((await waiting).jobId).toBe(jobId);
  });
});

describe('a queue that becomes PUSH_ONLY', () => {
  it('refuses the claims that wait, at once', async () => {
    const one = scene();
    await setMode(one, PUSH_PULL);
    const { reasons, lateMs } = await refusedBy(one, 4, {}, () => setMode(one, PUSH_ONLY));
    expect(reasons).toEqual(reasons.map(() => MISMATCH));
    expect(lateMs).toBeLessThan(3_000);
  });

  it('refuses more claims than one look serves', async () => {
    const one = scene();
    await setMode(one, PUSH_PULL);
    const { reasons, lateMs } = await refusedBy(one, 9, { maxJobs: 600 }, () => setMode(one, PUSH_ONLY));
    expect(reasons).toEqual(reasons.map(() => MISMATCH));
    expect(lateMs).toBeLessThan(3_000);
  });

  it('refuses claims of several queues when the last that allows them is gone', async () => {
    const one = scene();
    await Promise.all([setMode(one, PUSH_PULL, 'a'), setMode(one, PUSH_PULL, 'b')]);
    const { reasons } = await refusedBy(one, 2, { queues: ['a', 'b'] }, async () => {
      await setMode(one, PUSH_ONLY, 'a');
      await setMode(one, PUSH_ONLY, 'b');
    });
    expect(reasons).toEqual([MISMATCH, MISMATCH]);
  });

  it('leaves claims waiting that another queue may serve', async () => {
    const one = scene();
    await setMode(one, PUSH_PULL, 'a');
    const waiting = one.claimOne({ queues: ['a', 'b'] });
    await one.later(0.2);
    await setMode(one, PUSH_ONLY, 'a');
    await one.enqueue({ queue: 'a' });
    const { jobId } = await one.enqueue({ queue: 'b' });
    expect((await waiting).jobId).toBe(jobId);
  });

  it('lets holders of its jobs settle them, and a repeated claim have what it was given', async () => {
    const one = scene();
    const { leaseToken, jobId } = await one.enqueueAndClaim({}, { requestId: 'r-1' });
    await setMode(one, PUSH_ONLY);
    expect(held((await one.claim({ requestId: 'r-1' })).jobs[0]).leaseToken).toBe(leaseToken);
    expect((await one.stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] })).results[0]?.result?.$case).toBe('renewed');
    expect((await one.stint.ack({ leaseToken })).job).toMatchObject({ jobId, state: JobState.SUCCEEDED });
    expect(await reasonOf(one.claim({ requestId: 'r-1' }))).toBe(MISMATCH);
  });
});
