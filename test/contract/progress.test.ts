import { describe, expect, it } from 'vitest';
import type { JobProgress } from '../../gen/stint/v1/lease.ts';
import type { SubscribeRequest, SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { useService, type Scene } from './scene.ts';
import { type Follower, type Held, micros, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

type Scope = Partial<SubscribeRequest>['scope'];

const everything: Scope = { $case: 'everything', everything: {} };

/** Follows with progress, and stands: what is told from here on is told to it. */
async function following(of: Scene, scope: Scope, partial: { readonly types?: string[]; readonly includeProgress?: boolean } = {}) {
  const { stint, namespace } = of;
  const start = { $case: 'fromBeginning', fromBeginning: {} } as const;
  const follower = stint.subscribe({ namespace, ...(scope === undefined ? {} : { scope }), start, includeProgress: true, ...partial });
  await follower.next();
  return follower;
}

async function progressOf(follower: Follower<SubscribeResponse>): Promise<SubscribeResponse> {
  for (;;) {
    const message = await follower.next();
    if (message.progress.length > 0) return message;
  }
}

/** The cursor of progress is behind what was told by then. */
async function untilTold(follower: Follower<SubscribeResponse>, wanted: string): Promise<void> {
  while (!(await follower.next()).events.some(({ type }) => type === wanted)) continue;
}

async function beat({ stint }: Scene, { leaseToken }: Pick<Held, 'leaseToken'>, progress: { fraction?: number; message?: string }) {
  const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken, progress }] });
  return results[0]?.result;
}

describe('progress', () => {
  it.each([
    ['a job', (_of: Scene, { jobId }: Held): Scope => ({ $case: 'jobId', jobId })],
    ['a queue', ({ queue }: Scene): Scope => ({ $case: 'queue', queue })],
    ['everything', (): Scope => everything],
  ])('of a heartbeat reaches who follows %s, with whose attempt it is', async (_what, scopeOf) => {
    const of = scene();
    const held = await of.enqueueAndClaim();
    const follower = await following(of, scopeOf(of, held));
    const renewed = await beat(of, held, { fraction: 0.25, message: 'a quarter' });
    const { events, progress, cursor } = await progressOf(follower);
    expect(events).toEqual([]);
    expect(cursor).not.toBe('');
    const [one] = progress;
    expect(progress).toEqual([
      {
        ...{ jobId: held.jobId, queue: of.queue, fence: held.job.fence, attempt: 1, workerId: 'worker-1' },
        progress: { fraction: 0.25, message: 'a quarter' },
        reportedAt: one?.reportedAt,
      },
    ]);
    const expiresAt = renewed?.$case === 'renewed' ? renewed.renewed.expiresAt : undefined;
    expect(micros(expiresAt) - micros(one?.reportedAt)).toBe(micros(renewed?.$case === 'renewed' ? renewed.renewed.ttl : undefined));
    follower.cancel();
  });

  it('is no event: it has no sequence, is not listed and not told again', async () => {
    const of = scene();
    const held = await of.enqueueAndClaim();
    const before = await of.events(held.jobId);
    const follower = await following(of, everything);
    await untilTold(follower, 'started');
    await beat(of, held, { message: 'on the way' });
    const { cursor } = await progressOf(follower);
    follower.cancel();
    expect(await of.events(held.jobId)).toEqual(before);
    expect(await of.job(held.jobId)).toMatchObject({ lastSequence: held.job.lastSequence });
    await of.stint.ack({ leaseToken: held.leaseToken });
    const start = { $case: 'cursor', cursor } as const;
    const resumed = of.stint.subscribe({ namespace: of.namespace, scope: everything, start, includeProgress: true });
    const told: SubscribeResponse[] = [];
    while (!told.some(({ events }) => events.length > 0)) told.push(await resumed.next());
    resumed.cancel();
    expect(told.flatMap(({ events }) => events.map(({ type }) => type))).toEqual(['succeeded']);
    expect(told.flatMap(({ progress }) => progress)).toEqual([]);
    await of.isSound();
  });

  it('is told to nobody who does not ask, and not to those of other scopes', async () => {
    const of = scene();
    const held = await of.enqueueAndClaim();
    const other = await of.enqueueAndClaim({ queue: 'other' }, { queues: ['other'] });
    const without = await following(of, everything, { includeProgress: false });
    const elsewhere = await following(of, { $case: 'queue', queue: 'other' });
    const stranger = await following(scene(), everything);
    const follower = await following(of, { $case: 'queue', queue: of.queue });
    await beat(of, held, { message: 'here' });
    expect((await progressOf(follower)).progress).toMatchObject([{ jobId: held.jobId }]);
    // Whatever they would be told of it has come by the time that this has.
    await beat(of, other, { message: 'there' });
    expect((await progressOf(elsewhere)).progress).toMatchObject([{ jobId: other.jobId, progress: { message: 'there' } }]);
    await of.stint.ack({ leaseToken: other.leaseToken });
    const seen: SubscribeResponse[] = [];
    while (!seen.some(({ events }) => events.some(({ type }) => type === 'succeeded'))) seen.push(await without.next());
    expect(seen.flatMap(({ progress }) => progress)).toEqual([]);
    for (const one of [without, elsewhere, stranger, follower]) one.cancel();
  });

  it('comes whatever types of events are wanted', async () => {
    const of = scene();
    const held = await of.enqueueAndClaim();
    const follower = await following(of, everything, { types: ['succeeded'] });
    await beat(of, held, { fraction: 1 });
    expect(await progressOf(follower)).toMatchObject({ events: [], progress: [{ progress: { fraction: 1, message: '' } }] });
    follower.cancel();
  });

  it('of many beats in a moment is the newest of each job', async () => {
    const of = scene();
    const [first, second] = [await of.enqueueAndClaim(), await of.enqueueAndClaim()];
    const follower = await following(of, everything);
    const told = (held: Held, message: string) => ({ leaseToken: held.leaseToken, progress: { message } });
    const leases = [told(first, 'one'), told(second, 'one'), told(first, 'two'), told(first, 'three'), told(second, 'two')];
    await of.stint.heartbeat({ workerId: 'worker-1', leases });
    const { progress } = await progressOf(follower);
    const messages = new Map(progress.map((one: JobProgress) => [one.jobId, one.progress?.message]));
    expect(progress).toHaveLength(2);
    expect(messages).toEqual(
      new Map([
        [first.jobId, 'three'],
        [second.jobId, 'two'],
      ]),
    );
    follower.cancel();
  });

  it('of a lease that is lost is told to nobody', async () => {
    const of = scene();
    const soon = { initialBackoff: { seconds: 0n, nanos: 1_000_000 }, jitter: false };
    const former = await of.enqueueAndClaim({ retry: soon });
    await of.stint.fail({ leaseToken: former.leaseToken });
    const held = await of.claimOne();
    const follower = await following(of, everything);
    expect(await beat(of, former, { message: 'of the former attempt' })).toMatchObject({ $case: 'lost' });
    expect(await beat(of, { leaseToken: 'made-up' }, { message: 'of nobody' })).toMatchObject({ $case: 'lost' });
    expect(await beat(of, held, { message: 'of this one' })).toMatchObject({ $case: 'renewed' });
    const { progress } = await progressOf(follower);
    expect(progress).toMatchObject([{ fence: held.job.fence, attempt: 2, progress: { message: 'of this one' } }]);
    follower.cancel();
  });

  it('is told by an await that includes it, beside the job, and by no other', async () => {
    const of = scene();
    const { stint, namespace } = of;
    const held = await of.enqueueAndClaim();
    const [told, quiet] = [true, false].map((includeProgress) => stint.awaitTerminal({ namespace, jobId: held.jobId, includeProgress }));
    if (told === undefined || quiet === undefined) expect.unreachable();
    expect(await told.next()).toMatchObject({ terminal: false, progress: undefined });
    await quiet.next();
    await beat(of, held, { fraction: 0.5, message: 'half' });
    expect(await told.next()).toMatchObject({
      terminal: false,
      job: { jobId: held.jobId, state: held.job.state },
      progress: { jobId: held.jobId, fence: held.job.fence, progress: { fraction: 0.5, message: 'half' } },
    });
    await beat(of, held, { fraction: 0.75 });
    expect(await told.next()).toMatchObject({ progress: { progress: { fraction: 0.75, message: '' } } });
    await stint.ack({ leaseToken: held.leaseToken });
    for (const [follower, count] of [
      [told, 1],
      [quiet, 1],
    ] as const) {
      const rest = await follower.rest();
      expect(rest).toHaveLength(count);
      expect(rest.at(-1)).toMatchObject({ terminal: true, progress: undefined });
    }
  });

  it('carries the longest message, whatever stands in it', async () => {
    const of = scene();
    const held = await of.enqueueAndClaim();
    const follower = await following(of, everything);
    const message = '\u0001"\\\n'.repeat(256);
    await beat(of, held, { message });
    expect((await progressOf(follower)).progress).toMatchObject([{ progress: { message } }]);
    follower.cancel();
  });

  it.each([
    ['fraction', { fraction: 1.01 }],
    ['fraction', { fraction: -0.01 }],
    ['fraction', { fraction: Number.NaN }],
    ['fraction', { fraction: Number.POSITIVE_INFINITY }],
    ['message', { message: 'x'.repeat(1_025) }],
    ['message', { message: 'a\0b' }],
  ])('with a bad %s is refused with its place, and renews nothing', async (field, progress) => {
    const of = scene();
    const held = await of.enqueueAndClaim({}, { leaseDuration: seconds(20) });
    const before = (await of.job(held.jobId)).leaseExpiresAt;
    const leases = [{ leaseToken: held.leaseToken }, { leaseToken: held.leaseToken, progress }];
    const call = () => of.stint.heartbeat({ workerId: 'worker-1', leases });
    expect(await refusal(call())).toMatchObject({ violations: [{ field: `leases[1].progress.${field}` }] });
    expect(await reasonOf(call())).toBe('INVALID_ARGUMENT/INVALID_FIELD');
    expect((await of.job(held.jobId)).leaseExpiresAt).toEqual(before);
  });
});
