import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { type Scene, useService } from './scene.ts';
import { collect, reasonOf, refusal, uuidV7 } from './stint.ts';

const scene = useService();

const everything = { $case: 'everything', everything: {} } as const;
const fromBeginning = { $case: 'fromBeginning', fromBeginning: {} } as const;

/** What an append of this job says by itself. */
function appending({ stint, namespace }: Scene, jobId: string) {
  return (told: Partial<Parameters<Scene['stint']['appendEvent']>[0]> = {}) =>
    stint.appendEvent({
      namespace,
      jobId,
      type: 'page.printed',
      data: Buffer.from('{"page":1}'),
      contentType: 'application/json',
      ...told,
    });
}

describe('AppendEvent', () => {
  it('tells a fact of a job that waits, and leaves the job where it is', async () => {
    const one = scene();
    const { jobId } = await one.enqueue();
    const before = await one.job(jobId);
    const { event } = await appending(one, jobId)();
    expect(event).toMatchObject({
      ...{ namespace: one.namespace, queue: one.queue, jobId, sequence: 2n, type: 'page.printed' },
      ...{ life: 1, attempt: 0, fence: 0n, state: JobState.READY, workerId: '' },
      detail: { $case: 'custom', custom: { data: Buffer.from('{"page":1}'), contentType: 'application/json' } },
    });
    expect(await one.job(jobId)).toEqual({ ...before, lastSequence: 2n });
    expect((await one.claimOne()).jobId).toBe(jobId);
    await one.isSound();
  });

  it('tells a fact of a worker, which names it, and its lease goes on as it was', async () => {
    const one = scene();
    const { jobId, leaseToken } = await one.enqueueAndClaim();
    const before = await one.job(jobId);
    const { event } = await appending(one, jobId)({ leaseToken });
    expect(event).toMatchObject({ sequence: 4n, attempt: 1, fence: before.fence, state: JobState.RUNNING, workerId: 'worker-1' });
    expect(await one.job(jobId)).toEqual({ ...before, lastSequence: 4n });
    await one.stint.ack({ leaseToken });
    expect(await one.eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'page.printed', 'succeeded']);
    await one.isSound();
  });

  it('is told alike by its answer, by the list and by every scope of a subscription', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const { jobId, leaseToken } = await one.enqueueAndClaim();
    const told = [
      await appending(one, jobId)({ leaseToken }),
      await appending(one, jobId)({ data: Buffer.alloc(2_000, 1), contentType: '' }),
      await appending(one, jobId)({ type: 'custom', data: Buffer.alloc(0) }),
    ].map(({ event }) => event);
    const events = await one.events(jobId);
    expect(events.slice(3)).toEqual(told);
    for (const scope of [everything, { $case: 'queue', queue } as const, { $case: 'jobId', jobId } as const]) {
      const follower = stint.subscribe({ namespace, scope, start: fromBeginning });
      expect((await collect(follower, (seen) => seen.length === events.length)).events).toEqual(events);
      const filtered = stint.subscribe({ namespace, scope, start: fromBeginning, types: ['custom', 'page.printed'] });
      expect((await collect(filtered, (seen) => seen.length === 3)).events).toEqual(told);
    }
  });

  it('answers a repeated call with the first event, also when the job has ended', async () => {
    const one = scene();
    const { jobId, leaseToken } = await one.enqueueAndClaim();
    const append = appending(one, jobId);
    const answers = await Promise.all(Array.from({ length: 8 }, () => append({ leaseToken, replayKey: 'page-1' })));
    const [first] = answers;
    expect(answers).toEqual(answers.map(() => first));
    await one.stint.ack({ leaseToken });
    expect(await append({ leaseToken, replayKey: 'page-1' })).toEqual(first);
    expect(await append({ replayKey: 'page-1' })).toEqual(first);
    expect(await one.eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'page.printed', 'succeeded']);
    await one.isSound();
  });

  it('without a key is an event each time', async () => {
    const one = scene();
    const { jobId } = await one.enqueue();
    await Promise.all(Array.from({ length: 20 }, () => appending(one, jobId)()));
    expect((await one.events(jobId)).map(({ sequence }) => Number(sequence))).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
  });

  it('refuses a key that was used for another event', async () => {
    const one = scene();
    const { jobId } = await one.enqueue();
    const append = appending(one, jobId);
    await append({ replayKey: 'k' });
    for (const other of [{ type: 'other' }, { data: Buffer.from('other') }, { contentType: 'text/plain' }]) {
      const before = await one.picture(jobId);
      const { violations } = await refusal(append({ replayKey: 'k', ...other }));
      expect(violations.map(({ field }) => field)).toEqual(['replay_key']);
      expect(await one.picture(jobId)).toEqual(before);
    }
  });

  it.each<[string, (one: Scene, other: { jobId: string; leaseToken: string }, own: string) => string | Promise<string>]>([
    ['a malformed token', () => 'made-up'],
    ['the token of another job', (_one, { leaseToken }) => leaseToken],
    [
      'a token that was settled',
      async ({ stint }, _other, own) => {
        await stint.release({ leaseToken: own });
        return own;
      },
    ],
  ])('refuses %s, and changes nothing', async (_what, tokenOf) => {
    const one = scene();
    const other = await one.enqueueAndClaim();
    const { jobId, leaseToken } = await one.enqueueAndClaim();
    const given = await tokenOf(one, other, leaseToken);
    const before = await one.picture(jobId);
    expect(await reasonOf(appending(one, jobId)({ leaseToken: given }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    expect(await one.picture(jobId)).toEqual(before);
  });

  it('refuses a job that has ended, until it is retried', async () => {
    const one = scene();
    const { jobId } = await one.enqueue();
    await one.stint.cancelJob({ namespace: one.namespace, jobId });
    const before = await one.picture(jobId);
    const { info } = await refusal(appending(one, jobId)());
    expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state: 'CANCELLED', action: 'append_event', job_id: jobId } });
    expect(await one.picture(jobId)).toEqual(before);
    await one.stint.retryJob({ namespace: one.namespace, jobId });
    expect((await appending(one, jobId)()).event).toMatchObject({ life: 2, sequence: 4n });
    await one.isSound();
  });

  it('does not find a job that is not there, or is of another namespace', async () => {
    const one = scene();
    const stranger = await scene().enqueueAndClaim();
    expect(await reasonOf(appending(one, uuidV7())())).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await reasonOf(appending(one, stranger.jobId)())).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await reasonOf(appending(one, stranger.jobId)({ leaseToken: stranger.leaseToken }))).toBe('NOT_FOUND/JOB_NOT_FOUND');
  });

  it('does not change the signature of a queue', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const { jobId } = await one.enqueue();
    const before = await stint.getSignature({ namespace, queue });
    await appending(one, jobId)();
    expect((await stint.getSignature({ namespace, queue })).signature).toEqual(before.signature);
  });
});

describe('ListEvents', () => {
  /** A job with so many facts, `even` and `odd` in turn, behind its first event. */
  async function withFacts(one: Scene, count: number, data = Buffer.alloc(0)): Promise<string> {
    const { jobId } = await one.enqueue();
    for (let index = 0; index < count; index += 1) await appending(one, jobId)({ type: index % 2 === 0 ? 'even' : 'odd', data });
    return jobId;
  }

  it('gives the last so many that match, ascending, over pages', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const jobId = await withFacts(one, 10);
    const list = async (partial: Parameters<typeof stint.listEvents>[0]) => {
      const page = await stint.listEvents({ namespace, jobId, ...partial });
      expect(page.latestSequence).toBe(11n);
      return { sequences: page.events.map(({ sequence }) => Number(sequence)), pageToken: page.nextPageToken };
    };
    expect(await list({ recent: 3 })).toEqual({ sequences: [9, 10, 11], pageToken: '' });
    expect(await list({ recent: 3, types: ['even', 'even', 'enqueued'] })).toEqual({ sequences: [6, 8, 10], pageToken: '' });
    expect(await list({ recent: 100, types: ['odd'], afterSequence: 5n })).toEqual({ sequences: [7, 9, 11], pageToken: '' });
    const first = await list({ recent: 5, pageSize: 3 });
    expect(first.sequences).toEqual([7, 8, 9]);
    expect(await list({ recent: 5, pageSize: 3, pageToken: first.pageToken })).toEqual({ sequences: [10, 11], pageToken: '' });
    const { violations } = await refusal(stint.listEvents({ namespace, jobId, recent: 4, pageToken: first.pageToken }));
    expect(violations.map(({ field }) => field)).toEqual(['page_token']);
  });

  it('gives full pages of what a filter lets through', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const jobId = await withFacts(one, 10);
    const page = await stint.listEvents({ namespace, jobId, types: ['odd'], pageSize: 4 });
    expect(page.events.map(({ sequence }) => Number(sequence))).toEqual([3, 5, 7, 9]);
    const { nextPageToken: pageToken } = page;
    expect((await stint.listEvents({ namespace, jobId, types: ['odd'], pageSize: 4, pageToken })).events).toMatchObject([
      { sequence: 11n },
    ]);
  });

  it('gives facts of more than a response takes on several pages', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const jobId = await withFacts(one, 60, Buffer.alloc(65_536));
    const seen: bigint[] = [];
    let pages = 0;
    for (let pageToken: string | null = ''; pageToken !== null; pages += 1) {
      const page: Awaited<ReturnType<typeof stint.listEvents>> = await stint.listEvents({ namespace, jobId, pageSize: 1_000, pageToken });
      seen.push(...page.events.map(({ sequence }) => sequence));
      pageToken = page.nextPageToken === '' ? null : page.nextPageToken;
    }
    expect(pages).toBe(2);
    expect(seen).toEqual(Array.from({ length: 61 }, (_, index) => BigInt(index + 1)));
  });
});
