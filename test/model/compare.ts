/** What the service must show of the model's jobs. */
import { expect } from 'vitest';
import { isTerminal, type Asked, type Job, type JobState, type Micros } from '../../src/domain/job.ts';
import { violationsOf } from '../support/violations.ts';
import type { Model, ModelEvent, ModelJob } from './model.ts';
import { nowOf, QUEUE, type Real } from './real.ts';

/** After each step: every job and its history, the dead letters, the backlog's order, and the service's own check. */
export async function compareEverything(model: Model, real: Real): Promise<void> {
  const { engine, namespace } = real;
  const found = await Promise.all(model.jobs.map(({ jobId }) => engine.jobs.getJob({ namespace, jobId, withPayload: false })));
  expect(found.map((result) => (result.ok ? shown(result.value.job) : result.refusal.kind))).toEqual(model.jobs.map(expected));
  await Promise.all(model.jobs.filter((job) => job.eventsCompared < job.events.length).map((job) => compareNewEvents(real, job)));
  expect(await deadLetters(model, real)).toEqual(
    model.jobs.flatMap(({ jobId, events }) => events.flatMap((event) => (isDead(event) ? [`${jobId}.${event.life}`] : []))).sort(),
  );
  const peeked = await engine.queues.peekQueue({ namespace, queue: QUEUE, pageSize: 1_000 });
  expect(peeked.ok ? peeked.value.map(({ jobId }) => jobId) : []).toEqual(model.backlog(nowOf(real)).map(({ jobId }) => jobId));
  const stats = await engine.queues.getQueueStats({ namespace, name: QUEUE });
  // Before the first job there is no queue.
  if (stats.ok || model.jobs.length > 0) expect(stats.ok ? stats.value.jobs : stats.refusal.kind).toEqual(countsOf(model));
  expect(await violationsOf(engine, namespace)).toEqual([]);
  await compareReplay(model, real);
}

/** What its own events come to is what the service has stored. */
async function compareReplay({ jobs }: Model, { engine, namespace }: Real): Promise<void> {
  if (jobs.length === 0) return;
  const verified = await engine.queues.verifyReplay({ namespace, kind: 'queue', queue: QUEUE, pageSize: 1_000, after: null });
  expect(verified.ok ? verified.value : verified.refusal).toMatchObject({ jobsVerified: jobs.length, differences: [], passedOver: [] });
}

/** Jobs by state, as the numbers of the queue name them. */
function countsOf({ jobs }: Model) {
  const inState = (state: JobState) => jobs.filter(({ token }) => token.state === state).length;
  return {
    ...{ scheduled: inState('SCHEDULED'), blocked: inState('BLOCKED'), ready: inState('READY'), leased: inState('LEASED') },
    ...{ running: inState('RUNNING'), retryWait: inState('RETRY_WAIT'), suspended: inState('SUSPENDED') },
  };
}

async function compareNewEvents({ engine, namespace }: Real, job: ModelJob): Promise<void> {
  const { jobId, events, eventsCompared: afterSequence } = job;
  const page = await engine.events.listEvents({ namespace, jobId, afterSequence, types: [], pageSize: 1_000 });
  expect(page.ok ? page.value.events.map(({ namespace: _n, queue: _q, jobId: _j, ...event }) => plain(event)) : page.refusal).toEqual(
    events.slice(afterSequence).map(plain),
  );
  job.eventsCompared = events.length;
}

/** The answer to a command is the job as it is. */
export async function expectCurrent({ engine, namespace }: Real, job: Job): Promise<void> {
  const found = await engine.jobs.getJob({ namespace, jobId: job.jobId, withPayload: false });
  expect(found.ok ? found.value.job : found.refusal).toEqual(job);
}
function shown(job: Job) {
  const { jobId, state, priority, life, attempt, fence, lastSequence, disposition, workerId } = job;
  const { runAt, startedAt, finishedAt, leaseExpiresAt, asked } = job;
  return {
    ...{ jobId, state, priority, life, attempt, fence, lastSequence, disposition, workerId },
    ...{ runAt, startedAt, finishedAt, leaseExpiresAt, asked },
  };
}

function expected(job: ModelJob): ReturnType<typeof shown> {
  const { jobId, token, priority, workerId, events } = job;
  const { state, life, attempt, fence, sequence } = token;
  return {
    ...{ jobId, state, priority, life, attempt, fence, lastSequence: sequence, disposition: token.rules.disposition, workerId },
    runAt: 'dueAt' in token ? token.dueAt : toldRunAt(job),
    startedAt: latestStart(ofLife(job)),
    finishedAt: isTerminal(state) ? (events.at(-1)?.occurredAt ?? null) : null,
    leaseExpiresAt: 'lease' in token ? token.lease.expiresAt : null,
    asked: askedOf(job),
  };
}

const ofLife = ({ token, events }: ModelJob) => events.filter(({ life }) => life === token.life);

/** As it was enqueued, or as the last update says. */
function toldRunAt({ spec, events }: ModelJob): Micros | null {
  let { runAt } = spec;
  for (const { detail } of events) if (detail.type === 'updated' && detail.change.runAt !== undefined) runAt = detail.change.runAt;
  return runAt;
}

function latestStart(events: readonly ModelEvent[]): Micros | null {
  let startedAt: Micros | null = null;
  for (const { detail, occurredAt } of events) {
    if (detail.type === 'claimed') startedAt = null;
    if (detail.type === 'started') startedAt = occurredAt;
  }
  return startedAt;
}

/** A job that was cancelled at once was asked for it then. */
function askedOf(job: ModelJob): Asked | null {
  const events = ofLife(job);
  const last = events.at(-1);
  const request = events.find(({ detail }) => detail.type === 'cancel_requested');
  const abandon = events.find(({ detail }) => detail.type === 'abandon_requested');
  const cancel = request ?? (last?.detail.type === 'cancelled' ? last : undefined);
  const suspended = job.token.state === 'SUSPENDED' ? events.findLast(({ detail }) => detail.type === 'suspended') : undefined;
  if (cancel === undefined && abandon === undefined && suspended === undefined) return null;
  return {
    cancelRequestedAt: cancel?.occurredAt ?? null,
    cancelDeadline: request?.detail.type === 'cancel_requested' ? request.detail.cancelDeadline : null,
    cancelReason: reasonOf(cancel),
    abandonRequestedAt: abandon?.occurredAt ?? null,
    suspendReason: reasonOf(suspended),
  };
}

function reasonOf(event: ModelEvent | undefined): string {
  return event !== undefined && 'reason' in event.detail ? event.detail.reason : '';
}

const isDead = ({ detail }: ModelEvent) => detail.type === 'failed' && detail.deadLettered;

async function deadLetters(model: Model, { system }: Real): Promise<readonly string[]> {
  const ids = model.jobs.map(({ jobId }) => jobId);
  const rows = await system.database.sql<{ id: string }[]>`
    select job || '.' || life as id from stint.dead_letter where job = any(${ids}::uuid[])`;
  return rows.map(({ id }) => id).sort();
}

/** Bytes compare by content, whatever holds them. */
function plain({ detail, ...event }: ModelEvent): unknown {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  const failure = 'failure' in detail ? { failure: { ...detail.failure, details: hex(detail.failure.details) } } : {};
  const evidence =
    'evidence' in detail && detail.evidence !== null ? { evidence: { ...detail.evidence, data: hex(detail.evidence.data) } } : {};
  const data = detail.type === 'custom' ? { data: hex(detail.data) } : {};
  return { ...event, detail: { ...detail, ...failure, ...evidence, ...data } };
}
