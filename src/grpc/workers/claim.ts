import { parseLeaseToken } from '../../domain/lease.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Claim, Engine } from '../../engine/engine.ts';
import type { ClaimedJob } from '../../engine/ports/repository.ts';
import {
  ClaimDecision,
  type ClaimRequest,
  type ClaimResponse,
  StartMode,
  type WorkerServiceService,
} from '../../../gen/stint/v1/worker_service.ts';
import type { Call } from '../call.ts';
import { readKey, readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { wireClaimedJob } from './claimed-job.ts';

export function claim(engine: Engine): MethodHandler<typeof WorkerServiceService.claim> {
  return async (request, call) => {
    const wish = decode((fields) => readClaim(fields, request));
    return await claimFor(engine, wish, call);
  };
}

/** Waits at most until an answer can still reach the client. */
export async function claimFor(engine: Engine, wish: Claim, call: Call): Promise<ClaimResponse> {
  const remainingMs = call.remainingMs();
  const waitMs = Math.max(0, Math.min(wish.waitMs ?? 0, remainingMs - answerMarginMs(remainingMs)));
  const { jobs, decision, repeated = false } = await engine.workers.claim({ ...wish, waitMs }, call.signal);
  // Nobody is there to read the answer: the leases would only run out, and spend their attempts. Leases of an earlier
  // answer stay: that one may have arrived.
  if (call.isCancelled && !repeated) await giveBack(engine, jobs);
  return { jobs: jobs.map(wireClaimedJob), decision: ClaimDecision[decision] };
}

async function giveBack(engine: Engine, jobs: readonly ClaimedJob[]): Promise<void> {
  await engine.workers.settle(jobs.map(({ lease }) => ({ kind: 'release', token: parseLeaseToken(lease.leaseToken), delayMs: 0 })));
}

const STARTS_ON_CLAIM: Readonly<Record<number, boolean>> = {
  [StartMode.UNSPECIFIED]: true,
  [StartMode.ON_CLAIM]: true,
  [StartMode.EXPLICIT]: false,
};

const MAX_JOBS = { min: 0, max: LIMITS.claimJobs };
const QUEUES = { min: 1, max: LIMITS.claimQueues };
const TYPES = { min: 0, max: LIMITS.claimTypes };
const WAIT_MS = { min: 0, max: LIMITS.longPollMs };
export const LEASE_MS = { min: LIMITS.leaseDurationMinMs, max: LIMITS.leaseDurationMaxMs };

export function readClaim(fields: Fields, request: ClaimRequest): Claim {
  return {
    namespace: readNamespace(fields, request.namespace),
    workerId: fields.requiredText('worker_id', request.workerId, LIMITS.workerIdBytes),
    queues: [...new Set(fields.list('queues', request.queues, QUEUES, (queue, path) => fields.name(path, queue)))],
    types: readTypes(fields, request),
    maxJobs: fields.integer('max_jobs', request.maxJobs, MAX_JOBS) || 1,
    waitMs: fields.durationMs('wait', request.wait, WAIT_MS) ?? 0,
    leaseDurationMs: fields.durationMs('lease_duration', request.leaseDuration, LEASE_MS),
    startOnClaim: fields.choice('start', request.start, STARTS_ON_CLAIM, true),
    requestId: readKey(fields, 'request_id', request.requestId) || null,
  };
}

/** Distinct ones. With the queues they name no more places than one statement looks at. */
export function readTypes(fields: Fields, { queues, types }: Pick<ClaimRequest, 'queues' | 'types'>): readonly string[] {
  const distinct = [...new Set(fields.list('types', types, TYPES, (type, path) => fields.name(path, type)))];
  const places = new Set(queues).size * distinct.length;
  if (places > LIMITS.claimPlaces) fields.refuse('types', `times queues must be at most ${LIMITS.claimPlaces}, and is ${places}`);
  return distinct;
}

const MIN_MARGIN_MS = 50;
const MAX_MARGIN_MS = 500;

/** What the claim statement and the way back may take: an answer past the client's deadline is one nobody reads. */
function answerMarginMs(remainingMs: number): number {
  return Math.min(MAX_MARGIN_MS, Math.max(MIN_MARGIN_MS, remainingMs / 10));
}
