/** `WaitDrained`: how far a drain is, and why it ends. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QueueStatus } from '../../gen/stint/v1/queue.ts';
import { OperatorAction, type WaitDrainedResponse } from '../../gen/stint/v1/queue_service.ts';
import { startService, type TestService } from '../support/service.ts';
import { failedJob, terminal } from './failed-jobs.ts';
import { Scene, useService } from './scene.ts';
import { codeOf, connect, type Follower, fromNow, type Held, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const { DRAIN_BACKLOG, DRAIN_IN_FLIGHT, PAUSE, RESUME } = OperatorAction;
const NOT_DRAINING = 'FAILED_PRECONDITION/INVALID_TRANSITION';

const act = ({ stint, namespace, queue }: Scene, action: OperatorAction) => stint.applyAction({ namespace, queue, action, reason: 'test' });

/** Less than the service takes to look again by itself: who is told so soon was told of a change. */
const AT_ONCE_MS = 4_000;

const waitDrained = ({ stint, namespace, queue }: Scene, deadlineMs = AT_ONCE_MS) => stint.waitDrained({ namespace, queue }, deadlineMs);

const last = async (follower: Follower<WaitDrainedResponse>) => (await follower.rest()).at(-1);

describe('WaitDrained', () => {
  it('tells how far a drain of the backlog is, until nothing is left to do', async () => {
    const one = scene();
    for (let count = 0; count < 3; count += 1) await one.enqueue();
    await one.enqueue({ runAt: fromNow(3_600) });
    const { leaseToken } = await one.claimOne();
    await act(one, DRAIN_BACKLOG);
    const waiting = waitDrained(one, 15_000);
    const jobs = { scheduled: 1n, ready: 2n, leased: 0n, running: 1n, retryWait: 0n, suspended: 0n };
    expect(await waiting.next()).toMatchObject({ drained: false, status: QueueStatus.DRAINING_BACKLOG, jobs });
    await one.stint.ack({ leaseToken });
    expect(await waiting.next()).toMatchObject({ drained: false, jobs: { ready: 2n, running: 0n } });
    const second = await one.claimOne();
    await one.stint.fail({ leaseToken: second.leaseToken, retryAfter: seconds(0.3) });
    const third = await one.claimOne();
    await one.stint.suspend({ leaseToken: third.leaseToken });
    const retried = await one.claimOne();
    expect(retried.jobId).toBe(second.jobId);
    await one.stint.fail({ leaseToken: retried.leaseToken, failure: terminal() });
    expect(await last(waiting)).toMatchObject({ drained: true, jobs: { ...jobs, ready: 0n, running: 0n, suspended: 1n } });
    await one.isSound();
  });

  it('tells how far a drain of what is in flight is, whatever else waits', async () => {
    const one = scene();
    for (let count = 0; count < 3; count += 1) await one.enqueue();
    const [first, second] = [await one.claimOne(), await one.claimOne()];
    await act(one, DRAIN_IN_FLIGHT);
    const waiting = waitDrained(one, 15_000);
    expect(await waiting.next()).toMatchObject({
      drained: false,
      status: QueueStatus.DRAINING_IN_FLIGHT,
      jobs: { ready: 1n, running: 2n },
    });
    await one.stint.ack({ leaseToken: first.leaseToken });
    expect(await waiting.next()).toMatchObject({ drained: false, jobs: { ready: 1n, running: 1n } });
    await one.stint.suspend({ leaseToken: second.leaseToken });
    expect(await last(waiting)).toMatchObject({ drained: true, jobs: { ready: 1n, running: 0n, suspended: 1n } });
    await one.isSound();
  });

  it.each<[string, (one: Scene, held: Held) => Promise<unknown>]>([
    ['is released', ({ stint }, { leaseToken }) => stint.release({ leaseToken })],
    ['fails and comes again', ({ stint }, { leaseToken }) => stint.fail({ leaseToken, retryAfter: seconds(3_600) })],
    [
      'is cancelled',
      async ({ stint, namespace }, { jobId, leaseToken }) => {
        await stint.cancelJob({ namespace, jobId });
        await stint.fail({ leaseToken });
      },
    ],
  ])('hears at once of a job in flight that %s', async (_how, end) => {
    const one = scene();
    const held = await one.enqueueAndClaim();
    await act(one, DRAIN_IN_FLIGHT);
    const waiting = waitDrained(one);
    expect(await waiting.next()).toMatchObject({ drained: false });
    await end(one, held);
    expect(await last(waiting)).toMatchObject({ drained: true, jobs: { running: 0n } });
    await one.isSound();
  });

  it('hears at once of a backlog that is cancelled', async () => {
    const one = scene();
    const { jobId } = await one.enqueue();
    await act(one, DRAIN_BACKLOG);
    const waiting = waitDrained(one);
    await waiting.next();
    await one.stint.cancelJob({ namespace: one.namespace, jobId });
    expect(await last(waiting)).toMatchObject({ drained: true });
  });

  it('is answered at once where nothing is left, and again by whoever asks again', async () => {
    for (const action of [DRAIN_BACKLOG, DRAIN_IN_FLIGHT]) {
      const one = scene();
      await failedJob(one);
      await act(one, action);
      for (let times = 0; times < 2; times += 1) {
        expect(await waitDrained(one).rest()).toMatchObject([{ drained: true }]);
      }
    }
  });

  it('goes on when the drain becomes the other one', async () => {
    const one = scene();
    await one.enqueue();
    await act(one, DRAIN_BACKLOG);
    const waiting = waitDrained(one);
    expect(await waiting.next()).toMatchObject({ drained: false });
    await act(one, DRAIN_IN_FLIGHT);
    expect(await last(waiting)).toMatchObject({ drained: true, status: QueueStatus.DRAINING_IN_FLIGHT, jobs: { ready: 1n } });
  });

  it.each([
    ['ACTIVE', RESUME],
    ['PAUSED', PAUSE],
  ])('is refused where the queue is %s, also when it becomes so meanwhile', async (state, action) => {
    const one = scene();
    await one.enqueue();
    await act(one, action);
    const { info, names } = await refusal(waitDrained(one).next());
    expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { queue: one.queue, state, action: 'wait_drained' } });
    expect(names).toEqual(['ErrorInfo', 'PreconditionFailure']);
    await act(one, DRAIN_BACKLOG);
    const waiting = waitDrained(one);
    await waiting.next();
    const ended = reasonOf(waiting.rest());
    await act(one, action);
    expect(await ended).toBe(NOT_DRAINING);
  });

  it('is refused where there is no such queue, and where none is named', async () => {
    const { stint, namespace } = scene();
    expect(await reasonOf(stint.waitDrained({ namespace, queue: 'absent' }).next())).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    const { violations } = await refusal(stint.waitDrained({ namespace }).next());
    expect(violations.map(({ field }) => field)).toEqual(['queue']);
  });

  it('ends with the client: by its deadline, or cancelled', async () => {
    const one = scene();
    await one.enqueue();
    await act(one, DRAIN_BACKLOG);
    const short = waitDrained(one, 500);
    await short.next();
    expect(await codeOf(short.rest())).toBe('DEADLINE_EXCEEDED');
    const waiting = waitDrained(one);
    await waiting.next();
    const ended = codeOf(waiting.rest());
    waiting.cancel();
    expect(await ended).toBe('CANCELLED');
  });
});

const isGiven = (process.env['STINT_ADDRESS'] ?? '') !== '';

describe.skipIf(isGiven)('two replicas (skipped with STINT_ADDRESS: those are not ours to stop)', () => {
  let staying: TestService;
  beforeAll(async () => {
    staying = await startService();
  });
  afterAll(() => staying.stop());

  it('tell of what each other does, and to wait again when one goes', async () => {
    const going = await startService({ database: staying.database });
    const [leaving, there] = [connect(going.address), connect(staying.address)];
    const one = new Scene(there);
    const { namespace, queue } = one;
    const [first, second] = [await one.enqueueAndClaim(), await one.enqueueAndClaim()];
    await act(one, DRAIN_BACKLOG);
    const waiting = leaving.waitDrained({ namespace, queue }, AT_ONCE_MS);
    expect(await waiting.next()).toMatchObject({ jobs: { running: 2n } });
    await there.ack({ leaseToken: first.leaseToken });
    expect(await waiting.next()).toMatchObject({ drained: false, jobs: { running: 1n } });
    const ended = refusal(waiting.rest());
    await going.stop();
    expect(await ended).toMatchObject({ info: { reason: 'SHUTTING_DOWN' }, names: ['ErrorInfo', 'RetryInfo'] });
    const again = last(waitDrained(one));
    await there.ack({ leaseToken: second.leaseToken });
    expect(await again).toMatchObject({ drained: true });
    leaving.close();
    there.close();
  });
});
