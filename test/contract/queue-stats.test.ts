/** `GetQueueStats` and `WatchQueueStats`: how a queue is doing, and what limits it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Disposition } from '../../gen/stint/v1/job.ts';
import { type Queue, QueueLimiter, type QueueStats, QueueStatus } from '../../gen/stint/v1/queue.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { startService, type TestService } from '../support/service.ts';
import { StartMode } from '../../gen/stint/v1/worker_service.ts';
import { failedJob, terminal } from './failed-jobs.ts';
import { Scene, useService } from './scene.ts';
import { codeOf, connect, fromNow, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const statsOf = async ({ stint, namespace, queue }: Scene): Promise<QueueStats> => {
  const { stats } = await stint.getQueueStats({ namespace, queue });
  return stats ?? expect.unreachable();
};

const put = ({ stint, namespace, queue: name }: Scene, told: Partial<Queue>) =>
  stint.putQueue({
    namespace,
    queue: { name, ...told },
    updateMask: Object.keys(told).map((key) => key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)),
  });

const watch = ({ stint, namespace, queue }: Scene, intervalSeconds?: number, deadlineMs = 10_000) =>
  stint.watchQueueStats({ namespace, queue, ...(intervalSeconds === undefined ? {} : { interval: seconds(intervalSeconds) }) }, deadlineMs);

describe('GetQueueStats', () => {
  it('counts the jobs by state, bounded or not', async () => {
    // Rates begin with the first fold of the database.
    await scene().stint.runUpkeep({});
    for (const bounds of [{}, { maxInFlight: 100, maxQueued: 100 }]) {
      const one = scene();
      if (Object.keys(bounds).length > 0) await put(one, bounds);
      for (let count = 0; count < 6; count += 1) await one.enqueue();
      await one.enqueue({ runAt: fromNow(3_600) });
      await one.enqueue({ disposition: Disposition.EXTERNALLY_OWNED });
      await one.claimOne();
      await one.claimOne({ start: StartMode.EXPLICIT });
      const [acked, failing, dead] = [await one.claimOne(), await one.claimOne(), await one.claimOne()];
      await one.stint.ack({ leaseToken: acked.leaseToken });
      await one.stint.fail({ leaseToken: failing.leaseToken, retryAfter: seconds(3_600) });
      await one.stint.fail({ leaseToken: dead.leaseToken, failure: terminal() });
      const stats = await statsOf(one);
      expect(stats).toMatchObject({
        ...{ namespace: one.namespace, queue: one.queue, status: QueueStatus.ACTIVE, limiter: QueueLimiter.WORKERS },
        jobs: { scheduled: 1n, blocked: 0n, ready: 2n, leased: 1n, running: 1n, retryWait: 1n, suspended: 0n },
        ...{ inFlight: 2n, deadLetters: 1n },
      });
      expect([stats.enqueueRate, stats.claimRate, stats.finishRate, stats.failRate].map((rate) => Math.round(rate * 60))).toEqual([
        8, 5, 2, 2,
      ]);
      await one.isSound();
    }
  });

  it('counts a dead letter until it is replayed', async () => {
    const one = scene();
    const { jobId } = await failedJob(one);
    expect(await statsOf(one)).toMatchObject({ deadLetters: 1n, jobs: { ready: 0n } });
    await one.stint.retryJob({ namespace: one.namespace, jobId });
    expect(await statsOf(one)).toMatchObject({ deadLetters: 0n, jobs: { ready: 1n } });
    await one.isSound();
  });

  it('is refused where there is no such queue, and where none is named', async () => {
    const { stint, namespace } = scene();
    expect(await reasonOf(stint.getQueueStats({ namespace, queue: 'absent' }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    const { violations } = await refusal(stint.getQueueStats({ namespace: 'no/name' }));
    expect(violations.map(({ field }) => field)).toEqual(['namespace', 'queue']);
  });
});

describe('what limits a queue', () => {
  const limiterOf = async (one: Scene) => (await statsOf(one)).limiter;

  it('is that it is empty, that too few ask, its bound, its rate, or its status', async () => {
    const one = scene();
    await one.enqueue();
    expect(await limiterOf(one)).toBe(QueueLimiter.WORKERS);
    await one.claimOne();
    expect(await limiterOf(one)).toBe(QueueLimiter.EMPTY);
    await put(one, { maxInFlight: 1 });
    await one.enqueue();
    expect(await limiterOf(one)).toBe(QueueLimiter.MAX_IN_FLIGHT);
    await put(one, { maxInFlight: 3, rateLimit: { permits: 1, period: seconds(3_600), burst: 1, perKey: false } });
    expect(await limiterOf(one)).toBe(QueueLimiter.WORKERS);
    await one.claimOne();
    expect(await limiterOf(one)).toBe(QueueLimiter.RATE);
    const { stint, namespace, queue } = one;
    await stint.applyAction({ namespace, queue, action: OperatorAction.PAUSE, reason: 'test' });
    expect(await statsOf(one)).toMatchObject({ limiter: QueueLimiter.STATUS, status: QueueStatus.PAUSED });
    await stint.applyAction({ namespace, queue, action: OperatorAction.RESUME, reason: 'test' });
    await stint.applyAction({ namespace, action: OperatorAction.PAUSE, reason: 'test' });
    expect(await statsOf(one)).toMatchObject({ limiter: QueueLimiter.STATUS, status: QueueStatus.ACTIVE });
  });

  it('is nothing to claim where its jobs have external owners', async () => {
    const one = scene();
    await one.enqueue({ disposition: Disposition.EXTERNALLY_OWNED });
    expect(await statsOf(one)).toMatchObject({ limiter: QueueLimiter.EMPTY, jobs: { ready: 1n }, oldestReadyAge: undefined });
  });
});

describe('WatchQueueStats', () => {
  it('tells at once, then each interval', async () => {
    const one = scene();
    await one.enqueue();
    const watching = watch(one, 0.1);
    const first = (await watching.next()).stats;
    expect(first).toMatchObject({ jobs: { ready: 1n } });
    await one.enqueue();
    const second = (await watching.next()).stats;
    expect(second).toMatchObject({ jobs: { ready: 2n } });
    watching.cancel();
  });

  it('refuses an interval out of its bounds, and a queue that is not there', async () => {
    const one = scene();
    await one.enqueue();
    for (const interval of [0, 0.099, 60.001]) {
      const { violations } = await refusal(watch(one, interval).next());
      expect(violations.map(({ field }) => field)).toEqual(['interval']);
    }
    for (const interval of [0.1, 60, undefined]) expect((await watch(one, interval).next()).stats).toBeDefined();
    const { stint, namespace } = one;
    expect(await reasonOf(stint.watchQueueStats({ namespace, queue: 'absent' }).next())).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
  });

  it('ends with the client: by its deadline, or cancelled', async () => {
    const one = scene();
    await one.enqueue();
    const short = watch(one, 60, 500);
    await short.next();
    expect(await codeOf(short.rest())).toBe('DEADLINE_EXCEEDED');
    const watching = watch(one, 60);
    await watching.next();
    const ended = codeOf(watching.rest());
    watching.cancel();
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

  it('tell the same, and to watch again when one goes', async () => {
    const going = await startService({ database: staying.database });
    const [leaving, there] = [connect(going.address), connect(staying.address)];
    const one = new Scene(there);
    const { namespace, queue } = one;
    await one.enqueue();
    const watching = leaving.watchQueueStats({ namespace, queue, interval: seconds(60) }, 30_000);
    expect((await watching.next()).stats).toMatchObject({ jobs: { ready: 1n } });
    const ended = refusal(watching.rest());
    await going.stop();
    expect(await ended).toMatchObject({ info: { reason: 'SHUTTING_DOWN' }, names: ['ErrorInfo', 'RetryInfo'] });
    expect(await statsOf(one)).toMatchObject({ jobs: { ready: 1n } });
    leaving.close();
    there.close();
  });
});
