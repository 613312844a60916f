/** `max_in_flight`: never passed, and whoever waits for a place gets it as soon as there is one. */
import { describe, expect, it } from 'vitest';
import { ClaimDecision, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { terminal } from './failed-jobs.ts';
import { parked } from './parked.ts';
import { type Scene, useService } from './scene.ts';
import { fromNow, type Held, held, seconds } from './stint.ts';

const scene = useService();

const { ASSIGNED, BACKPRESSURE, EMPTY } = ClaimDecision;

type Queue = Exclude<Parameters<Scene['stint']['putQueue']>[0]['queue'], undefined>;

/** So many jobs in a queue that is configured like this; their ids. */
async function queueOf(one: Scene, count: number, settings: Queue): Promise<readonly string[]> {
  await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue, ...settings } });
  const ids: string[] = [];
  while (ids.length < count) ids.push((await one.enqueue()).jobId);
  return ids;
}

const put = ({ stint, namespace, queue }: Scene, settings: Queue) =>
  stint.putQueue({ namespace, queue: { name: queue, ...settings }, updateMask: Object.keys(settings).map(snakeCase) });

const snakeCase = (name: string) => name.replaceAll(/[A-Z]/gu, (letter) => `_${letter.toLowerCase()}`);

describe('a queue with max_in_flight', () => {
  it('gives no more than that, to one worker or to many', async () => {
    const one = scene();
    await queueOf(one, 12, { maxInFlight: 5 });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        one.claim({ workerId: `w-${n}`, maxJobs: (n % 3) + 1, start: n % 2 ? StartMode.EXPLICIT : StartMode.ON_CLAIM }),
      ),
    );
    expect(answers.flatMap(({ jobs }) => jobs)).toHaveLength(5);
    for (const { jobs, decision } of answers) expect(decision).toBe(jobs.length > 0 ? ASSIGNED : BACKPRESSURE);
    expect(await one.claim({ maxJobs: 10 })).toEqual({ jobs: [], decision: BACKPRESSURE });
    await one.isSound();
  });

  it('is EMPTY where nothing waits for a place', async () => {
    const one = scene();
    await queueOf(one, 1, { maxInFlight: 1 });
    await one.claimOne();
    expect((await one.claim()).decision).toBe(EMPTY);
    await one.enqueue({ runAt: fromNow(3_600) });
    expect((await one.claim()).decision).toBe(EMPTY);
    await one.enqueue();
    expect((await one.claim()).decision).toBe(BACKPRESSURE);
    await one.isSound();
  });

  it('keeps no other queue back that the same claim names', async () => {
    const one = scene();
    await queueOf(one, 3, { maxInFlight: 1 });
    const other = await one.enqueue({ queue: 'other' });
    const { jobs } = await one.claim({ queues: [one.queue, 'other'], maxJobs: 10 });
    expect(jobs.map(({ job }) => job?.queue).toSorted()).toEqual(['other', one.queue]);
    expect(jobs.map(({ job }) => job?.jobId)).toContain(other.jobId);
    const waiting = await parked(one, { queues: [one.queue, 'other'] });
    const more = await one.enqueue({ queue: 'other' });
    expect(held((await waiting.answer).jobs[0]).jobId).toBe(more.jobId);
    await one.isSound();
  });

  it('tells BACKPRESSURE when the wait is over, and gives nothing afterwards to who has gone', async () => {
    const one = scene();
    const [, second] = await queueOf(one, 2, { maxInFlight: 1 });
    const first = await one.claimOne();
    expect(await one.claim({ wait: seconds(0.2) })).toEqual({ jobs: [], decision: BACKPRESSURE });
    await one.stint.ack({ leaseToken: first.leaseToken });
    expect(await one.claimOne()).toMatchObject({ jobId: second, job: { attempt: 1 } });
  });
});

/** How a job in flight leaves its place. */
const ENDS: readonly (readonly [string, Queue, (one: Scene, held: Held) => Promise<unknown>])[] = [
  ['Ack', {}, ({ stint }, { leaseToken }) => stint.ack({ leaseToken })],
  ['Fail for good', {}, ({ stint }, { leaseToken }) => stint.fail({ leaseToken, failure: terminal() })],
  ['Fail with a retry later', {}, ({ stint }, { leaseToken }) => stint.fail({ leaseToken, retryAfter: seconds(3_600) })],
  ['Suspend', {}, ({ stint }, { leaseToken }) => stint.suspend({ leaseToken })],
  ['Release until later', {}, ({ stint }, { leaseToken }) => stint.release({ leaseToken, delay: seconds(3_600) })],
  ['Release', {}, ({ stint }, { leaseToken }) => stint.release({ leaseToken })],
  ['Settle', {}, ({ stint }, { leaseToken }) => stint.settle({ settlements: [{ leaseToken, action: { $case: 'ack', ack: {} } }] })],
  ['expiry', { leaseDuration: seconds(1), leaseGrace: seconds(0), retry: { maxAttempts: 1 } }, async () => undefined],
  [
    'CancelJob and Fail',
    {},
    async ({ stint, namespace }, { jobId, leaseToken }) => {
      await stint.cancelJob({ namespace, jobId });
      await stint.fail({ leaseToken });
    },
  ],
  [
    'a forced cancellation',
    { cancellationBudget: seconds(0.1) },
    ({ stint, namespace }, { jobId }) => stint.cancelJob({ namespace, jobId }),
  ],
];

describe('a claim that waits for a place in flight', () => {
  it.each(ENDS)('gets one that is left by %s', async (_how, settings, end) => {
    const one = scene();
    await queueOf(one, 2, { maxInFlight: 1, ...settings });
    const first = await one.claimOne();
    const waiting = await parked(one, { maxJobs: 10 });
    await end(one, first);
    expect((await waiting.answer).jobs).toHaveLength(1);
    expect((await one.claim()).jobs).toEqual([]);
    await one.isSound();
  });

  it('gets one that is left by a timeout', async () => {
    const one = scene();
    await queueOf(one, 0, { maxInFlight: 1 });
    await one.enqueue({ timeouts: { startToClose: seconds(0.1) }, retry: { maxAttempts: 1 } });
    await one.enqueue();
    await one.claimOne();
    const waiting = await parked(one);
    expect((await waiting.answer).jobs).toHaveLength(1);
    await one.isSound();
  });

  it('gets each place once, however many wait', async () => {
    const one = scene();
    await queueOf(one, 6, { maxInFlight: 2 });
    const { jobs } = await one.claim({ maxJobs: 10 });
    const waiting = await Promise.all(Array.from({ length: 5 }, () => parked(one, { wait: seconds(2), maxJobs: 3 })));
    await Promise.all(jobs.map(({ lease }) => one.stint.ack({ leaseToken: lease?.leaseToken ?? '' })));
    const answers = await Promise.all(waiting.map(({ answer }) => answer));
    expect(answers.flatMap((answer) => answer.jobs)).toHaveLength(2);
    expect(new Set(answers.map(({ decision }) => decision))).toEqual(new Set([ASSIGNED, BACKPRESSURE]));
    await one.isSound();
  });
});

describe('a max_in_flight', () => {
  it('put below what is in flight takes nothing away, and gives again only below it', async () => {
    const one = scene();
    await queueOf(one, 5, { maxInFlight: 3 });
    const jobs = (await one.claim({ maxJobs: 10 })).jobs.map(held);
    expect(jobs).toHaveLength(3);
    await put(one, { maxInFlight: 1 });
    const beats = await one.stint.heartbeat({ workerId: 'worker-1', leases: jobs.map(({ leaseToken }) => ({ leaseToken })) });
    expect(beats.results.map(({ result }) => result?.$case)).toEqual(['renewed', 'renewed', 'renewed']);
    for (const [index, { leaseToken }] of jobs.entries()) {
      expect(await one.claim({ maxJobs: 10 })).toEqual({ jobs: [], decision: BACKPRESSURE });
      await one.stint.ack({ leaseToken });
      expect(index).toBeLessThan(3);
    }
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(1);
    await one.isSound();
  });

  it.each<[string, Queue, number]>([
    ['is raised', { maxInFlight: 3 }, 2],
    ['is removed', { maxInFlight: undefined }, 4],
  ])('that %s gives more at once', async (_what, settings, more) => {
    const one = scene();
    await queueOf(one, 5, { maxInFlight: 1 });
    await one.claimOne();
    const waiting = await parked(one, { maxJobs: 10 });
    await put(one, settings);
    expect((await waiting.answer).jobs).toHaveLength(more);
    await one.isSound();
  });

  it('put on a queue in use counts what is in flight already', async () => {
    const one = scene();
    await queueOf(one, 5, {});
    expect((await one.claim({ maxJobs: 2, start: StartMode.EXPLICIT })).jobs).toHaveLength(2);
    expect((await one.claim()).jobs).toHaveLength(1);
    await put(one, { maxInFlight: 4 });
    expect((await one.claim({ maxJobs: 10 })).jobs).toHaveLength(1);
    expect((await one.claim()).decision).toBe(BACKPRESSURE);
    await one.isSound();
  });
});
