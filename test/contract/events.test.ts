import { describe, expect, it } from 'vitest';
import type { Event } from '../../gen/stint/v1/event.ts';
import { SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { JobState } from '../../gen/stint/v1/job.ts';
import { type Scene, useService } from './scene.ts';
import { collect, reasonOf, refusal, uuidV7 } from './stint.ts';

const scene = useService();

const everything = { $case: 'everything', everything: {} } as const;
const fromBeginning = { $case: 'fromBeginning', fromBeginning: {} } as const;
const upTo = (count: number) => (events: readonly Event[]) => events.length >= count;

/** A job that ran through: four events. */
async function ranThrough({ stint, enqueueAndClaim }: Scene): Promise<string> {
  const { jobId, leaseToken } = await enqueueAndClaim();
  await stint.ack({ leaseToken });
  return jobId;
}

const LIFE = ['enqueued', 'claimed', 'started', 'succeeded'];

describe('ListEvents', () => {
  it('tells the history of a job without gaps', async () => {
    const one = scene();
    const { queue, namespace } = one;
    const jobId = await ranThrough(one);
    const events = await one.events(jobId);
    expect(events.map(({ type }) => type)).toEqual(LIFE);
    expect(events.map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n, 4n]);
    expect(events.map(({ state }) => state)).toEqual([JobState.READY, JobState.LEASED, JobState.RUNNING, JobState.SUCCEEDED]);
    expect(events.map(({ attempt }) => attempt)).toEqual([0, 1, 1, 1]);
    for (const event of events) expect(event).toMatchObject({ namespace, queue, jobId, life: 1 });
    expect(events[0]).toMatchObject({ fence: 0n, workerId: '', detail: { $case: 'enqueued', enqueued: { jobType: 'test', priority: 0 } } });
    expect(events[3]).toMatchObject({ workerId: 'worker-1' });
  });

  it('gives pages, a start and a choice of types', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const jobId = await ranThrough(one);
    const list = async (partial: Parameters<typeof stint.listEvents>[0]) => {
      const { events, latestSequence } = await stint.listEvents({ namespace, jobId, ...partial });
      expect(latestSequence).toBe(4n);
      return events.map(({ sequence }) => Number(sequence));
    };
    expect(await list({ afterSequence: 2n })).toEqual([3, 4]);
    expect(await list({ afterSequence: 4n })).toEqual([]);
    expect(await list({ types: ['succeeded', 'enqueued'] })).toEqual([1, 4]);
    expect(await list({ types: ['never.seen'] })).toEqual([]);
    const first = await stint.listEvents({ namespace, jobId, pageSize: 3 });
    expect(await list({ pageSize: 3, pageToken: first.nextPageToken })).toEqual([4]);
  });

  it('refuses a page token under another choice', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const jobId = await ranThrough(one);
    const { nextPageToken: pageToken } = await stint.listEvents({ namespace, jobId, pageSize: 1 });
    const { violations } = await refusal(stint.listEvents({ namespace, jobId, pageSize: 1, pageToken, types: ['succeeded'] }));
    expect(violations.map(({ field }) => field)).toEqual(['page_token']);
  });

  it('does not find a job that is not there', async () => {
    const { stint, namespace } = scene();
    expect(await reasonOf(stint.listEvents({ namespace, jobId: uuidV7() }))).toBe('NOT_FOUND/JOB_NOT_FOUND');
  });
});

describe('Subscribe', () => {
  it.each<[string, (one: Scene, jobId: string) => Parameters<Scene['stint']['subscribe']>[0]['scope']]>([
    ['one job', (_one, jobId) => ({ $case: 'jobId', jobId })],
    ['a queue', ({ queue }) => ({ $case: 'queue', queue })],
    ['everything', () => everything],
  ])('to %s gives its history, equal to the list of it', async (_name, scopeOf) => {
    const one = scene();
    const { stint, namespace } = one;
    const jobId = await ranThrough(one);
    const follower = stint.subscribe({ namespace, scope: scopeOf(one, jobId), start: fromBeginning });
    const { events } = await collect(follower, upTo(4));
    expect(events).toEqual(await one.events(jobId));
  });

  it('gives what happens from then on, and nothing of before', async () => {
    const one = scene();
    const { stint, namespace, enqueue } = one;
    await ranThrough(one);
    const follower = stint.subscribe({ namespace, scope: everything, start: { $case: 'fromNow', fromNow: {} } });
    // Until the subscription is known to stand, nothing tells what is before it: so work goes on until some of it is seen.
    let seen = false;
    const collected = collect(follower, (events) => (seen = events.length > 0));
    const enqueued: string[] = [];
    while (!seen) enqueued.push((await enqueue()).jobId);
    const { events } = await collected;
    expect(enqueued).toEqual(expect.arrayContaining(events.map(({ jobId }) => jobId)));
  });

  it('to a job from now on gives what follows only', async () => {
    const { stint, namespace, enqueue, claimOne, events } = scene();
    const { jobId } = await enqueue();
    const follower = stint.subscribe({ namespace, scope: { $case: 'jobId', jobId } });
    expect((await follower.next()).events).toEqual([]);
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    const { events: seen } = await collect(follower, upTo(3));
    expect(seen).toEqual((await events(jobId)).slice(1));
  });

  it('waits for a queue that is not there yet', async () => {
    const { stint, namespace, enqueue } = scene();
    const follower = stint.subscribe({ namespace, scope: { $case: 'queue', queue: 'to-come' } });
    await follower.next();
    const { jobId } = await enqueue({ queue: 'to-come' });
    expect((await collect(follower, upTo(1))).events).toMatchObject([{ jobId, type: 'enqueued' }]);
  });

  it('gives messages of 256 events and 1 MiB at most', async () => {
    const { stint, namespace, queue } = scene();
    const labels = { l: 'x'.repeat(8_000) };
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 600 }, () => ({ queue })) });
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 300 }, () => ({ queue, labels })) });
    const follower = stint.subscribe({ namespace, scope: everything, start: fromBeginning });
    for (let seen = 0; seen < 900;) {
      const message = await follower.next();
      seen += message.events.length;
      expect(message.events.length).toBeLessThanOrEqual(256);
      expect(SubscribeResponse.encode(message).finish().byteLength).toBeLessThan(1_048_576 + 4_096);
    }
    follower.cancel();
  });

  it('keeps to its queue, its namespace and its types', async () => {
    const one = scene();
    const { stint, namespace, queue, enqueue, claimOne } = one;
    await enqueue({ queue: 'other' });
    await scene().enqueue();
    const { jobId } = await enqueue();
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    const ended = await enqueue();
    const follower = stint.subscribe({
      namespace,
      scope: { $case: 'queue', queue },
      types: ['enqueued', 'succeeded'],
      start: fromBeginning,
    });
    const { events } = await collect(follower, upTo(3));
    expect(events.map((event) => [event.jobId, event.type])).toEqual([
      [jobId, 'enqueued'],
      [jobId, 'succeeded'],
      [ended.jobId, 'enqueued'],
    ]);
  });

  it('resumes after its cursor, exactly', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const first = await ranThrough(one);
    const { events: before, cursor } = await collect(stint.subscribe({ namespace, scope: everything, start: fromBeginning }), upTo(4));
    const second = await ranThrough(one);
    const { events: after } = await collect(stint.subscribe({ namespace, scope: everything, start: { $case: 'cursor', cursor } }), upTo(4));
    expect(before.map(({ jobId }) => jobId)).toEqual(LIFE.map(() => first));
    expect(after.map(({ jobId, type }) => [jobId, type])).toEqual(LIFE.map((type) => [second, type]));
  });

  it('gives every job in its own order while many run at once', async () => {
    const one = scene();
    const { stint, namespace, queue, claim } = one;
    const count = 60;
    const following = collect(stint.subscribe({ namespace, scope: everything, start: fromBeginning }), upTo(count * LIFE.length));
    await Promise.all(Array.from({ length: count }, () => stint.enqueue({ namespace, job: { queue } })));
    const { jobs } = await claim({ maxJobs: count });
    await Promise.all(jobs.map(({ lease }) => stint.ack({ leaseToken: lease?.leaseToken ?? '' })));
    const { events } = await following;
    const ids = new Set(events.map(({ jobId }) => jobId));
    expect(ids.size).toBe(count);
    for (const id of ids) expect(events.flatMap(({ jobId, sequence }) => (jobId === id ? [sequence] : []))).toEqual([1n, 2n, 3n, 4n]);
  });

  it.each([['made-up'], ['A'.repeat(200)]])('refuses the cursor "%s"', async (cursor) => {
    const { stint, namespace } = scene();
    const { info } = await refusal(stint.subscribe({ namespace, scope: everything, start: { $case: 'cursor', cursor } }).rest());
    expect(['INVALID_FIELD', 'CURSOR_EXPIRED']).toContain(info?.reason);
  });

  it('refuses a cursor of another scope', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await ranThrough(one);
    const { cursor } = await collect(stint.subscribe({ namespace, scope: everything, start: fromBeginning }), upTo(4));
    const elsewhere = stint.subscribe({ namespace, scope: { $case: 'queue', queue }, start: { $case: 'cursor', cursor } });
    expect((await refusal(elsewhere.rest())).info?.reason).toBe('INVALID_FIELD');
  });

  it('to a job that is not there is refused', async () => {
    const { stint, namespace } = scene();
    const follower = stint.subscribe({ namespace, scope: { $case: 'jobId', jobId: uuidV7() }, start: fromBeginning });
    expect(await reasonOf(follower.rest())).toBe('NOT_FOUND/JOB_NOT_FOUND');
  });
});
