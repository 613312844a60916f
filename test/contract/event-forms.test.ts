/** Each type of event, in each form it has, also of jobs with concurrency keys: the stream tells of it what the history tells. */
import { expect, it } from 'vitest';
import type { Event } from '../../gen/stint/v1/event.ts';
import { Disposition, JobState } from '../../gen/stint/v1/job.ts';
import type { SubscribeRequest } from '../../gen/stint/v1/event_service.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { type Scene, useService } from './scene.ts';
import { nameOf } from './standing.ts';
import { collect, fromNow, type Held, seconds } from './stint.ts';

const scene = useService();

/** As `event.proto` lists them. */
const BUILT_IN = [
  ...['enqueued', 'ready', 'claimed', 'started', 'released', 'retry_scheduled', 'suspended', 'resumed'],
  ...['cancel_requested', 'abandon_requested', 'succeeded', 'failed', 'cancelled', 'abandoned', 'retried', 'updated'],
];

/** Jobs of all the histories below. */
const FORMS = [
  'abandon_requested RUNNING',
  'abandoned ABANDONED',
  'cancel_requested RUNNING',
  'cancelled CANCELLED',
  'claimed LEASED',
  'enqueued BLOCKED',
  'enqueued READY',
  'enqueued SCHEDULED',
  'failed FAILED',
  'ready BLOCKED',
  'ready READY',
  'released BLOCKED',
  'released READY',
  'released SCHEDULED',
  'resumed BLOCKED',
  'resumed READY',
  'retried BLOCKED',
  'retried READY',
  'retry_scheduled RETRY_WAIT',
  'started RUNNING',
  'succeeded SUCCEEDED',
  'suspended SUSPENDED',
  'updated BLOCKED',
  'updated READY',
];

const formOf = ({ type, state }: Event) => `${type} ${nameOf(state)}`;
const key = { concurrencyKey: 'k' };
const PRIORITY = ['priority'];

const terminal = { code: 'broken', message: 'a "quoted" 😀', details: '', kind: FailureKind.TERMINAL };

/** Until the upkeep has come to it. */
async function untilState({ stint, namespace, job }: Scene, jobId: string, state: JobState): Promise<void> {
  while ((await job(jobId)).state !== state) await stint.runUpkeep({ namespace });
}

/** One slot, for which two jobs compete: whoever comes back finds it taken. */
async function competeForSlot(one: Scene): Promise<void> {
  const { stint, namespace } = one;
  const first = await one.enqueueAndClaim(key);
  const best = await one.enqueue({ ...key, priority: 9 });
  await stint.release({ leaseToken: first.leaseToken });
  expect((await one.job(first.jobId)).state).toBe(JobState.BLOCKED);
  const taken = await one.claimOne();
  expect(taken.jobId).toBe(best.jobId);
  await stint.suspend({ leaseToken: taken.leaseToken, reason: 'later' });
  const held = await one.claimOne();
  await stint.resumeJob({ namespace, jobId: best.jobId, reason: 'now' });
  expect((await one.job(best.jobId)).state).toBe(JobState.BLOCKED);
  // The slot goes on to the better one, and the failed job comes back behind it.
  await stint.fail({ leaseToken: held.leaseToken, failure: terminal });
  await stint.retryJob({ namespace, jobId: held.jobId, reason: 'again' });
  expect((await one.job(held.jobId)).state).toBe(JobState.BLOCKED);
  // Displaced by a change of priority: the one gains the slot, the other loses it.
  await stint.updateJob({ namespace, jobId: held.jobId, priority: 20, updateMask: PRIORITY });
  await stint.updateJob({ namespace, jobId: best.jobId, priority: 30, updateMask: PRIORITY });
  await stint.updateJob({ namespace, jobId: held.jobId, priority: -5, updateMask: PRIORITY });
  const due = await one.enqueue({ ...key, runAt: fromNow(0.2) });
  await untilState(one, due.jobId, JobState.BLOCKED);
}

async function onceEach(one: Scene): Promise<void> {
  const { stint, namespace } = one;
  const take = async (act: (held: Held) => Promise<unknown>, spec = {}) => {
    const held = await one.enqueueAndClaim({ ...spec, priority: 100 });
    await act(held);
    return held.jobId;
  };
  await take(({ leaseToken }) => stint.ack({ leaseToken, result: Buffer.from('r') }));
  const failed = await take(({ leaseToken }) => stint.fail({ leaseToken, failure: terminal }));
  await stint.retryJob({ namespace, jobId: failed, reason: 'again' });
  await stint.cancelJob({ namespace, jobId: failed, reason: 'not wanted' });
  await take(({ leaseToken }) => stint.release({ leaseToken, delay: seconds(3_600) }));
  const again = await take(({ leaseToken }) =>
    stint.fail({ leaseToken, failure: { ...terminal, kind: FailureKind.RETRYABLE }, retryAfter: seconds(0.2) }),
  );
  await untilState(one, again, JobState.READY);
  await stint.updateJob({ namespace, jobId: again, priority: 3, updateMask: PRIORITY });
  await stint.cancelJob({ namespace, jobId: again });
  const aside = await take(({ leaseToken }) => stint.suspend({ leaseToken, reason: 'for a person' }));
  await stint.resumeJob({ namespace, jobId: aside, reason: 'seen' });
  await stint.cancelJob({ namespace, jobId: aside });
  await take(async ({ jobId, leaseToken }) => {
    await stint.cancelJob({ namespace, jobId, reason: 'stop' });
    await stint.fail({ leaseToken, failure: terminal });
  });
  await take(
    async ({ jobId, leaseToken }) => {
      await stint.requestAbandon({ namespace, jobId, reason: 'gone' });
      await stint.fail({ leaseToken, failure: terminal });
    },
    { disposition: Disposition.OWNER_BOUND },
  );
  await take(({ jobId }) => one.terminal(jobId), { disposition: Disposition.OWNER_BOUND, timeouts: { startToClose: seconds(0.5) } });
  await take(({ leaseToken }) => stint.release({ leaseToken }));
  await stint.cancelJob({ namespace, jobId: (await one.claimOne()).jobId });
  const external = await one.enqueue({ disposition: Disposition.EXTERNALLY_OWNED });
  const completion = { $case: 'success', success: { result: Buffer.from('r'), contentType: 'text/plain' } } as const;
  const proof = { authority: 'bank', evidence: Buffer.from([0, 255]), evidenceContentType: 'application/x' };
  await stint.completeExternally({ namespace, jobId: external.jobId, completion, ...proof });
}

it('of whatever type and form is told by the stream as by the history, whatever is followed', { timeout: 60_000 }, async () => {
  const one = scene();
  const { stint, namespace, queue } = one;
  await onceEach(one);
  await competeForSlot(one);
  const { jobs } = await stint.listJobs({ namespace, pageSize: 1_000 });
  const histories = await Promise.all(jobs.map(({ jobId }) => one.events(jobId)));
  const count = histories.flat().length;
  const told = async (scope: SubscribeRequest['scope'], wanted: number) => {
    const follower = stint.subscribe({ namespace, scope, start: { $case: 'fromBeginning', fromBeginning: {} } });
    return (await collect(follower, ({ length }) => length >= wanted)).events;
  };
  const stream = await told({ $case: 'everything', everything: {} }, count);
  expect(jobs.map(({ jobId }) => stream.filter((event) => event.jobId === jobId))).toEqual(histories);
  expect(stream).toHaveLength(count);
  expect(await told({ $case: 'queue', queue }, count)).toEqual(stream);
  for (const [index, { jobId }] of jobs.entries()) {
    const own = histories[index] ?? [];
    expect(await told({ $case: 'jobId', jobId }, own.length)).toEqual(own);
  }
  expect([...new Set(stream.map(formOf))].toSorted()).toEqual(FORMS);
  expect([...new Set(stream.map(({ type }) => type))].toSorted()).toEqual(BUILT_IN.toSorted());
  await one.isSound();
});
