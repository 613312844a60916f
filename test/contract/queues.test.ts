import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { QueueMode, QueueStatus } from '../../gen/stint/v1/queue.ts';
import { useService } from './scene.ts';
import { fromNow, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

describe('GetQueue', () => {
  it('tells the defaults of a queue that its first job made', async () => {
    const { stint, namespace, queue, enqueue } = scene();
    await enqueue();
    expect((await stint.getQueue({ namespace, queue })).queue).toMatchObject({
      name: queue,
      mode: QueueMode.PUSH_PULL,
      maxInFlight: undefined,
      maxQueued: undefined,
      cancellationBudget: seconds(30),
      leaseDuration: seconds(30),
      leaseGrace: seconds(5),
      retry: { maxAttempts: 10, initialBackoff: seconds(1), multiplier: 2, maxBackoff: seconds(600), jitter: true },
      deadLetter: { enabled: true },
      status: QueueStatus.ACTIVE,
    });
  });

  it('does not find a queue that is not there', async () => {
    const { stint, namespace } = scene();
    const { info } = await refusal(stint.getQueue({ namespace, queue: 'absent' }));
    expect(info).toMatchObject({ reason: 'QUEUE_NOT_FOUND', metadata: { namespace, queue: 'absent' } });
  });
});

describe('PeekQueue', () => {
  it('tells what a claim would give, and claims nothing', async () => {
    const { stint, namespace, queue, enqueue, claim } = scene();
    await enqueue();
    await enqueue({ priority: 3 });
    await enqueue({ runAt: fromNow(3_600) });
    await enqueue({ priority: 3 });
    const peeked = (await stint.peekQueue({ namespace, queue })).jobs;
    expect(peeked.map(({ state }) => state)).toEqual([JobState.READY, JobState.READY, JobState.READY]);
    expect((await stint.peekQueue({ namespace, queue, maxJobs: 2 })).jobs).toEqual(peeked.slice(0, 2));
    const { jobs } = await claim({ maxJobs: 10 });
    expect(jobs.map(({ job }) => job?.jobId)).toEqual(peeked.map(({ jobId }) => jobId));
  });

  it('does not find a queue that is not there', async () => {
    const { stint, namespace } = scene();
    expect(await reasonOf(stint.peekQueue({ namespace, queue: 'absent' }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
  });
});

describe('RunUpkeep', () => {
  it('may be asked for at any time, by many at once', async () => {
    const { stint, enqueue, isSound } = scene();
    await Promise.all(Array.from({ length: 20 }, () => enqueue({ runAt: fromNow(0.05) })));
    const rounds = await Promise.all(Array.from({ length: 5 }, () => stint.runUpkeep({})));
    for (const { promoted, expired } of rounds) expect(promoted >= 0n && expired >= 0n).toBe(true);
    await isSound();
  });
});

describe('CheckInvariants', () => {
  it('finds nothing wrong with jobs in every state, page by page', async () => {
    const { stint, namespace, queue, enqueue, claim, isSound } = scene();
    await enqueue({ runAt: fromNow(3_600) });
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 12 }, () => ({ queue })) });
    const { jobs } = await claim({ maxJobs: 9 });
    const tokens = jobs.map(({ lease }) => lease?.leaseToken ?? '');
    await Promise.all(tokens.slice(0, 3).map((leaseToken) => stint.ack({ leaseToken })));
    await Promise.all(tokens.slice(3, 6).map((leaseToken) => stint.fail({ leaseToken, retryAfter: seconds(3_600) })));
    await Promise.all(tokens.slice(6, 8).map((leaseToken) => stint.release({ leaseToken })));
    await isSound(100);
  });

  it('finds nothing in a namespace that nobody has used', async () => {
    await scene().isSound();
  });
});

describe('GetServerInfo', () => {
  it('tells its limits, its RPCs and the time that decides', async () => {
    const { stint } = scene();
    const info = await stint.getServerInfo({});
    expect(info.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(info.limits).toMatchObject({
      maxPayloadBytes: 1_048_576,
      maxHeadersAndLabelsBytes: 16_384,
      maxKeyBytes: 256,
      maxRequestBytes: 4_194_304,
      maxBatchItems: 1_000,
      maxCustomEventsPerJob: 10_000,
      maxLongPoll: seconds(60),
      minLeaseDuration: seconds(1),
      maxLeaseDuration: seconds(86_400),
      defaultLeaseDuration: seconds(30),
      defaultLeaseGrace: seconds(5),
    });
    expect(info.capabilities).toEqual(expect.arrayContaining(['stint.v1.JobService/Enqueue', 'stint.v1.WorkerService/Claim']));
    expect(Math.abs(Number(info.databaseTime?.seconds) - Date.now() / 1_000)).toBeLessThan(3_600);
  });
});
