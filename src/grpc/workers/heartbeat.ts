import { parseLeaseToken } from '../../domain/lease.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Beat } from '../../engine/workers/words.ts';
import type { HeartbeatOutcome } from '../../engine/ports/leases.ts';
import { Directive, LeaseLostReason } from '../../../gen/stint/v1/lease.ts';
import type { HeartbeatRequest, HeartbeatResult, LeaseRenewal, WorkerServiceService } from '../../../gen/stint/v1/worker_service.ts';
import { duration, optionalTimestamp, timestamp } from '../encode.ts';
import { readProgress } from '../events/progress.ts';
import { decode, type Fields } from '../fields.ts';
import type { MethodHandler } from '../service.ts';

export function heartbeat(engine: Engine): MethodHandler<typeof WorkerServiceService.heartbeat> {
  return async (request) => {
    const beats = decode((fields) => readBeats(fields, request));
    const outcomes = await engine.workers.heartbeat(beats);
    return { results: outcomes.map(wireOutcome) };
  };
}

function readBeats(fields: Fields, { workerId, leases }: HeartbeatRequest): Beat[] {
  fields.text('worker_id', workerId, LIMITS.workerIdBytes);
  return fields.list('leases', leases, { min: 0, max: LIMITS.batchItems }, (lease, path) => readBeat(fields.within(path), lease));
}

export function readBeat(fields: Fields, { leaseToken, checkpoint, progress }: LeaseRenewal): Beat {
  return {
    token: parseLeaseToken(leaseToken),
    checkpoint: checkpoint === undefined ? null : fields.bytes('checkpoint', checkpoint, LIMITS.checkpointBytes),
    progress: progress === undefined ? null : readProgress(fields.within('progress'), progress),
  };
}

export function wireOutcome(outcome: HeartbeatOutcome): HeartbeatResult {
  if (outcome.kind === 'lease_lost') return { result: { $case: 'lost', lost: { reason: LeaseLostReason[outcome.reason] } } };
  const renewed = {
    expiresAt: timestamp(outcome.expiresAt),
    ttl: duration(outcome.ttlMs),
    directive: directiveOf(outcome),
    cancelDeadline: optionalTimestamp(outcome.cancelDeadline),
  };
  return { result: { $case: 'renewed', renewed } };
}

function directiveOf({ cancelDeadline, draining }: Extract<HeartbeatOutcome, { readonly kind: 'renewed' }>): Directive {
  if (cancelDeadline !== null) return Directive.CANCEL;
  return draining ? Directive.DRAIN : Directive.CONTINUE;
}
