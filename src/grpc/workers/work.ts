import { parseLeaseToken } from '../../domain/lease.ts';
import { LIMITS } from '../../domain/limits.ts';
import { RefusalError } from '../../domain/error.ts';
import { endingOf } from '../../engine/ending.ts';
import type { Engine } from '../../engine/engine.ts';
import { aborted, firstOf } from '../../engine/wait.ts';
import type { Beat } from '../../engine/workers/words.ts';
import type { OpenWork, WorkMessage, WorkSession } from '../../engine/work/work.ts';
import { LeaseLostReason } from '../../../gen/stint/v1/lease.ts';
import type { WorkerServiceService, WorkHeartbeat, WorkOpen, WorkRequest, WorkResponse } from '../../../gen/stint/v1/worker_service.ts';
import { readKey, readNamespace } from '../decode.ts';
import { duration, timestamp } from '../encode.ts';
import { decode, type Fields } from '../fields.ts';
import { RECONNECT_REASONS } from '../reconnect.ts';
import type { MethodHandler } from '../service.ts';
import { LEASE_MS, readTypes } from './claim.ts';
import { wireClaimedJob } from './claimed-job.ts';
import { readBeat, wireOutcome } from './heartbeat.ts';
import { readSettlements, wireResults } from './settle.ts';

/** Requests of one stream that are answered at once; the next is not read before. */
const MAX_UNDER_WAY = 16;

/** For a worker that is told to come back to end its side. */
const FAREWELL_MS = 2_000;

const CREDITS = { min: 0, max: LIMITS.claimJobs };
const QUEUES = { min: 1, max: LIMITS.workQueues };
const BEATS = { min: 0, max: LIMITS.claimJobs };

export function work(engine: Engine): MethodHandler<typeof WorkerServiceService.work> {
  return async function* work(requests, call) {
    const heard = requests[Symbol.asyncIterator]();
    const first = await opening(heard, call.ending);
    // Whoever opens nothing wants nothing.
    if (first.done === true) return;
    const open = decode((fields) => readFirst(fields, first.value));
    const session = await engine.workers.work(open, call.signal, call.ending);
    const listening = listen(session, heard);
    let last: WorkMessage['kind'] | null = null;
    for await (const message of session.messages) {
      last = message.kind;
      yield wireMessage(message);
    }
    if (last === 'reconnect') await silence(listening, heard, call.signal);
  };
}

/**
 * Until a worker that was told to come back has ended its side, or for a moment. What it says meanwhile has crossed the word, and is left
 * unanswered. Some libraries, Python's grpc.aio among them, tell their caller of a defect where a stream ends under their writing.
 */
async function silence(listening: Promise<void>, heard: AsyncIterator<WorkRequest>, signal: AbortSignal): Promise<void> {
  const silent = listening.then(async () => {
    while ((await heard.next()).done !== true);
  });
  using limit = firstOf([signal], FAREWELL_MS);
  await Promise.race([silent, aborted(limit.signal)]);
}

/** Who has not opened yet is not waited for when the stream is to end. */
async function opening(heard: AsyncIterator<WorkRequest>, ending: AbortSignal | undefined): Promise<IteratorResult<WorkRequest, unknown>> {
  if (ending === undefined) return await heard.next();
  using ended = firstOf([ending]);
  const first = await Promise.race([heard.next(), aborted(ended.signal)]);
  if (first === undefined) throw new RefusalError({ kind: endingOf(ending) });
  return first;
}

/** Does what the worker says until it says no more. What cannot be done ends the session with the reason. */
async function listen(session: WorkSession, heard: AsyncIterator<WorkRequest>): Promise<void> {
  const underWay = new Set<Promise<void>>();
  try {
    for (let step = await heard.next(); step.done !== true && !session.isOver; step = await heard.next()) {
      const done = obey(session, step.value)
        .catch((error: unknown) => session.fail(error))
        .finally(() => underWay.delete(done));
      underWay.add(done);
      if (underWay.size >= MAX_UNDER_WAY) await Promise.race(underWay);
    }
    // Who says no more can settle nothing more here.
    session.setCredits(0);
    await Promise.all(underWay);
    session.finish();
  } catch (error) {
    session.fail(error);
  }
}

async function obey(session: WorkSession, { request }: WorkRequest): Promise<void> {
  switch (request?.$case) {
    case 'credits':
      return session.setCredits(decode((fields) => fields.integer('credits', request.credits, CREDITS)));
    case 'settle': {
      const { id, settlements } = request.settle;
      const read = decode((parent) => {
        const fields = parent.within('settle');
        return { id: readKey(fields, 'id', id), items: readSettlements(fields, settlements, 'settle.') };
      });
      return session.settle(read.id, read.items);
    }
    case 'heartbeat':
      return session.heartbeat(decode((fields) => readBeats(fields.within('heartbeat'), request.heartbeat)));
    case 'open':
      throw invalid('open', 'must come once: this session is open');
    case undefined:
      throw invalid('request', 'is required: one of open, credits, settle, heartbeat');
  }
}

function readFirst(fields: Fields, { request }: WorkRequest): OpenWork {
  if (request?.$case === 'open') return readOpen(fields.within('open'), request.open);
  fields.refuse('open', 'is required, and must be the first message');
  return fields.giveUp();
}

function readOpen(fields: Fields, open: WorkOpen): OpenWork {
  return {
    namespace: readNamespace(fields, open.namespace),
    workerId: fields.requiredText('worker_id', open.workerId, LIMITS.workerIdBytes),
    queues: [...new Set(fields.list('queues', open.queues, QUEUES, (queue, path) => fields.name(path, queue)))],
    types: readTypes(fields, open),
    credits: fields.integer('credits', open.credits, CREDITS),
    leaseDurationMs: fields.durationMs('lease_duration', open.leaseDuration, LEASE_MS),
  };
}

/** One for each held token, with what is told of it besides. */
function readBeats(fields: Fields, { heldTokens, leases }: WorkHeartbeat): readonly Beat[] {
  const held = fields.list('held_tokens', heldTokens, BEATS, (leaseToken) => leaseToken);
  const known = new Set(held);
  const told = new Map(
    fields.list('leases', leases, BEATS, (lease, path) => {
      if (!known.has(lease.leaseToken)) fields.refuse(`${path}.lease_token`, 'must be one of held_tokens');
      return [lease.leaseToken, readBeat(fields.within(path), lease)] as const;
    }),
  );
  return held.map((leaseToken) => told.get(leaseToken) ?? { token: parseLeaseToken(leaseToken), checkpoint: null });
}

function invalid(field: string, description: string): RefusalError {
  return new RefusalError({ kind: 'invalid_field', violations: [{ field, description }] });
}

function wireMessage(message: WorkMessage): WorkResponse {
  return { response: wireResponse(message) };
}

function wireResponse(message: WorkMessage): WorkResponse['response'] {
  switch (message.kind) {
    case 'opened': {
      const { sessionId, heartbeatIntervalMs } = message;
      return { $case: 'opened', opened: { sessionId, heartbeatInterval: duration(heartbeatIntervalMs) } };
    }
    case 'assigned':
      return { $case: 'assigned', assigned: { jobs: message.jobs.map(wireClaimedJob) } };
    case 'settled':
      return { $case: 'settled', settled: { id: message.id, results: wireResults(message.results) } };
    case 'heartbeat':
      return { $case: 'heartbeat', heartbeat: { results: message.outcomes.map(wireOutcome) } };
    case 'cancel': {
      const { leaseToken, cancelDeadline } = message;
      return { $case: 'cancel', cancel: { leaseToken, cancelDeadline: timestamp(cancelDeadline) } };
    }
    case 'lease_lost': {
      const { leaseToken, reason } = message;
      return { $case: 'leaseLost', leaseLost: { leaseToken, reason: LeaseLostReason[reason] } };
    }
    case 'drain':
      return { $case: 'drain', drain: { queue: message.queue } };
    case 'reconnect':
      return { $case: 'reconnect', reconnect: { reason: RECONNECT_REASONS[message.reason] } };
  }
}
