/** Each way in which a token moves, and what its queue has then. */
import { expect } from 'vitest';
import type { Failure, JobId, JobSpec } from '../../src/domain/job.ts';
import { NO_TIMEOUTS } from '../../src/domain/job.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { ClaimedJob, ClaimSlot, CompleteItem } from '../../src/engine/ports/repository.ts';
import { type Stage, tokenOf } from '../engine/stage.ts';
import type { GateCounts } from '../support/bounds.ts';
import { enter } from '../support/sql-door.ts';

const SECOND_MS = 1_000;
/** A lease and its grace, and the budget of a cancellation. */
const LAPSE_MS = 36 * SECOND_MS;

let stage: Stage;
let queue: Queue;

/** The moves are made there from here on. The queue's dead letters are copied to another. */
export function moveOn(there: Stage, on: Queue): void {
  stage = there;
  queue = on;
}

export const held = (job: Partial<JobSpec> = {}, claim: Partial<ClaimSlot> = {}) => stage.held(queue, { job, claim });
const LATER = 10 * SECOND_MS;
export const later = () => ({ runAt: stage.now + LATER * 1_000 });
export const EXPLICIT = { startOnClaim: false };
export const EXTERNAL = { disposition: 'EXTERNALLY_OWNED' } as const;
const TERMINAL: Failure = { code: 'broken', message: '', details: new Uint8Array(), kind: 'TERMINAL' };
const RETRYABLE: Failure = { ...TERMINAL, kind: 'RETRYABLE' };
const timing = (told: Partial<JobSpec['timeouts']>) => ({ timeouts: { ...NO_TIMEOUTS, ...told } });

const ack = (one: ClaimedJob) => stage.repository.ackMany([{ token: tokenOf(one), result: new Uint8Array(), contentType: '' }]);
const fail = (one: ClaimedJob, failure = RETRYABLE) =>
  stage.repository.failMany([{ token: tokenOf(one), failure, retryAfterMs: LATER, jitterFactor: 1 }]);
const release = (one: ClaimedJob, delayMs = 0) => stage.repository.releaseMany([{ token: tokenOf(one), delayMs }]);
const suspend = (one: ClaimedJob) => stage.repository.suspendMany([{ token: tokenOf(one), checkpoint: null, reason: '' }]);

const asked = (jobId: JobId) => ({ namespace: queue.namespace, jobId, request: null, reason: '' });
const cancel = (jobId: JobId) => stage.repository.cancelMany([asked(jobId)]);
const cancelEach = async (ids: readonly JobId[]) => void (await stage.repository.cancelMany(ids.map(asked)));
const retry = (jobId: JobId) => stage.repository.retryMany([asked(jobId)]);
const update = (jobId: JobId, change: { priority?: number; runAt?: number }) =>
  stage.repository.updateMany([{ namespace: queue.namespace, jobId, request: null, change }]);
const complete = (jobId: JobId, completion: CompleteItem['completion']) =>
  stage.repository.completeMany([{ ...asked(jobId), completion, evidence: { authority: 'a', data: new Uint8Array(), contentType: '' } }]);

export async function suspended(): Promise<JobId> {
  const one = await held();
  await suspend(one);
  return one.job.jobId;
}

export async function failed(): Promise<JobId> {
  const one = await held();
  await fail(one, TERMINAL);
  return one.job.jobId;
}

export async function waitsForRetry(): Promise<JobId> {
  const one = await held();
  await fail(one);
  return one.job.jobId;
}

async function enqueued(told: Partial<JobSpec> = {}): Promise<JobId> {
  const [id] = await stage.enqueue(queue, told);
  return id ?? expect.unreachable();
}

async function releasedTooOften(job: Partial<JobSpec> = {}): Promise<void> {
  const one = await held(job);
  await stage.sql`update stint.lease set releases = 1000 where job = ${one.job.jobId}`;
  await release(one);
}

const after = async (milliseconds: number, round: () => Promise<unknown>) => {
  stage.clock.advance(milliseconds);
  await round();
};
const promote = () => stage.repository.promoteDue();
const expire = () => stage.repository.expireLeases();
const timeOut = () => stage.repository.timeOut();
const once = (maxAttempts: number) => ({ retry: { ...stage.item(queue).spec.retry, maxAttempts } });

/** What moves, and what the queue has then. Where it says `copied`, the dead-letter queue has one READY job, though it may be full. */
type Move = readonly [string, () => Promise<unknown>, Partial<GateCounts>, 'copied'?];

const entries: readonly Move[] = [
  ['an enqueue', () => stage.enqueue(queue, {}, {}), { ready: 2 }],
  ['an enqueue for later', () => stage.enqueue(queue, later(), {}), { scheduled: 1, ready: 1 }],
  ['an enqueue for an external owner', () => stage.enqueue(queue, EXTERNAL), { ready: 1 }],
  ['an enqueue for an external owner, for later', () => stage.enqueue(queue, { ...EXTERNAL, ...later() }), { scheduled: 1 }],
  ['a duplicate', () => stage.repository.enqueueMany(twice()), { ready: 1 }],
  ['an enqueue through the SQL door', () => door({}), { ready: 1 }],
  [
    'an enqueue through the SQL door for later',
    () => door({ run_at: new Date(stage.now / 1_000 + 3_600_000).toISOString() }),
    { scheduled: 1 },
  ],
  ['an enqueue through the SQL door for an external owner', () => door({ disposition: 'EXTERNALLY_OWNED' }), { ready: 1 }],
];

const twice = () => {
  const idempotency = { key: 'k', scope: 'RETAINED', ttlMs: null } as const;
  return [stage.item(queue, { idempotency }), stage.item(queue, { idempotency })];
};
const door = (told: object) => enter(stage.sql, { namespace: queue.namespace, queue: queue.name, ...told });

const tries: readonly Move[] = [
  ['a claim', () => held(), { running: 1 }],
  ['a claim that does not start', () => held({}, EXPLICIT), { leased: 1 }],
  ['a start', async () => stage.repository.startMany([{ token: tokenOf(await held({}, EXPLICIT)) }]), { running: 1 }],
  ['a second start', async () => startTwice(await held({}, EXPLICIT)), { running: 1 }],
  ['an ack', async () => ack(await held()), {}],
  ['a second ack', async () => ackTwice(await held()), {}],
  ['a failure that is tried again', waitsForRetry, { retry_wait: 1 }],
  ['a failure for good', failed, {}, 'copied'],
  ['a release', async () => release(await held()), { ready: 1 }],
  ['a release of a claim that did not start', async () => release(await held({}, EXPLICIT)), { ready: 1 }],
  ['a release for later', async () => release(await held(), LATER), { scheduled: 1 }],
  ['a release past the free ones', () => releasedTooOften(), { ready: 1 }],
  ['a release past the free ones and the last attempt', () => releasedTooOften(once(1)), {}, 'copied'],
  ['a suspension', suspended, { suspended: 1 }],
  ['a resumption', async () => stage.repository.resumeMany([asked(await suspended())]), { ready: 1 }],
];

async function startTwice(one: ClaimedJob): Promise<void> {
  for (let time = 0; time < 2; time += 1) await stage.repository.startMany([{ token: tokenOf(one) }]);
}

async function ackTwice(one: ClaimedJob): Promise<void> {
  for (let time = 0; time < 2; time += 1) await ack(one);
}

const cancellations: readonly Move[] = [
  ['a cancellation of a READY job', async () => cancel(await enqueued()), {}],
  ['a cancellation of a SCHEDULED job', async () => cancel(await enqueued(later())), {}],
  ['a cancellation of a job in RETRY_WAIT', async () => cancel(await waitsForRetry()), {}],
  ['a cancellation of a SUSPENDED job', async () => cancel(await suspended()), {}],
  ["a cancellation of an external owner's job", async () => cancel(await enqueued(EXTERNAL)), {}],
  ['a cancellation of several', async () => cancelEach([await suspended(), await enqueued(), await enqueued(later())]), {}],
  ['a cancellation that is asked for', async () => cancel((await held()).job.jobId), { running: 1 }],
  ['a cancellation that is forced', async () => forced(await held()), {}],
  ['a cancellation that is forced before the start', async () => forced(await held({}, EXPLICIT)), {}],
  ['a failure after the cancellation was asked for', async () => afterCancel(fail), {}],
  ['a release after the cancellation was asked for', async () => afterCancel(release), {}],
  ['a suspension after the cancellation was asked for', async () => afterCancel(suspend), {}],
];

async function forced(one: ClaimedJob): Promise<void> {
  await cancel(one.job.jobId);
  await after(LAPSE_MS, expire);
}

async function afterCancel(settle: (one: ClaimedJob) => Promise<unknown>): Promise<void> {
  const one = await held();
  await cancel(one.job.jobId);
  await settle(one);
}

const changes: readonly Move[] = [
  ['an update to later', async () => update(await enqueued(), later()), { scheduled: 1 }],
  ['an update to at once', async () => update(await enqueued(later()), { runAt: stage.now }), { ready: 1 }],
  ['an update of the priority', async () => update(await enqueued(), { priority: 7 }), { ready: 1 }],
  ["an update of an external owner's job to later", async () => update(await enqueued(EXTERNAL), later()), { scheduled: 1 }],
  ['a retry of a job that failed', async () => retry(await failed()), { ready: 1 }, 'copied'],
  ['a retry of a job that was cancelled', async () => retryCancelled({}), { ready: 1 }],
  ["a retry of an external owner's job", async () => retryCancelled(EXTERNAL), { ready: 1 }],
  ['a replay', async () => replay(await failed()), { ready: 1 }, 'copied'],
  ['a success that its owner tells', async () => complete(await enqueued(EXTERNAL), SUCCESS), {}],
  ['a success that its owner tells before it is due', async () => complete(await enqueued({ ...EXTERNAL, ...later() }), SUCCESS), {}],
  ['a failure that its owner tells', async () => complete(await enqueued(EXTERNAL), { kind: 'failure', failure: TERMINAL }), {}, 'copied'],
  ['a cancellation that its owner tells', async () => complete(await enqueued(EXTERNAL), { kind: 'cancellation', reason: '' }), {}],
];

const SUCCESS = { kind: 'success', result: new Uint8Array(), contentType: '' } as const;

async function retryCancelled(told: Partial<JobSpec>): Promise<void> {
  const jobId = await enqueued(told);
  await cancel(jobId);
  await retry(jobId);
}

const replay = (jobId: JobId) =>
  stage.repository.replayPage({
    ...{ namespace: queue.namespace, queue: null, reason: '', request: null, next: null },
    ids: [{ jobId, life: 1 }],
  });

const rounds: readonly Move[] = [
  ['a promotion', async () => (await enqueued(later()), await after(LATER, promote)), { ready: 1 }],
  ['a promotion of a retry', async () => (await waitsForRetry(), await after(LATER, promote)), { ready: 1 }],
  [
    "a promotion of an external owner's job",
    async () => (await enqueued({ ...EXTERNAL, ...later() }), await after(LATER, promote)),
    { ready: 1 },
  ],
  ['an expiry', async () => (await held(), await after(LAPSE_MS, expire)), { retry_wait: 1 }],
  ['an expiry of a claim that did not start', async () => (await held({}, EXPLICIT), await after(LAPSE_MS, expire)), { retry_wait: 1 }],
  ['an expiry of the last attempt', async () => (await held(once(1)), await after(LAPSE_MS, expire)), {}, 'copied'],
  ['an abandonment', async () => (await held({ disposition: 'OWNER_BOUND' }), await after(LAPSE_MS, expire)), {}],
  ['an abandonment that was asked for', async () => abandoned(await held()), {}],
  [
    'a schedule_to_start',
    async () => (await enqueued(timing({ scheduleToStartMs: SECOND_MS })), await after(LATER, timeOut)),
    {},
    'copied',
  ],
  ['a schedule_to_close of a READY job', async () => (await enqueued(CLOSING), await after(LATER, timeOut)), {}, 'copied'],
  [
    'a schedule_to_close of a SCHEDULED job',
    async () => (await enqueued({ ...CLOSING, ...later() }), await after(LATER, timeOut)),
    {},
    'copied',
  ],
  ['a schedule_to_close of a SUSPENDED job', async () => (await suspend(await held(CLOSING)), await after(LATER, timeOut)), {}, 'copied'],
  ['a schedule_to_close of a RUNNING job', async () => (await held(CLOSING), await after(LATER, expire)), {}, 'copied'],
  ['a start_to_close', async () => (await held(timing({ startToCloseMs: SECOND_MS })), await after(LATER, expire)), { retry_wait: 1 }],
  ['a schedule_to_close that a cancellation finds passed', async () => overdueCancel(), {}, 'copied'],
];

const CLOSING = timing({ scheduleToCloseMs: SECOND_MS });

async function abandoned(one: ClaimedJob): Promise<void> {
  await stage.repository.requestAbandonMany([asked(one.job.jobId)]);
  await after(LAPSE_MS, expire);
}

async function overdueCancel(): Promise<void> {
  const jobId = await enqueued(CLOSING);
  stage.clock.advance(LATER);
  await cancel(jobId);
}

export const MOVES = [...entries, ...tries, ...cancellations, ...changes, ...rounds].map(([what, move, expected, copied]) => ({
  ...{ what, move, expected },
  copies: copied === undefined ? 0 : 1,
}));
