import { parseLeaseToken } from '../../domain/lease.ts';
import type { Claim, Engine } from '../../engine/engine.ts';
import type { AckResponse, WorkerServiceService } from '../../../gen/stint/v1/worker_service.ts';
import type { Call } from '../call.ts';
import { wireJob } from '../encode.ts';
import { decode } from '../fields.ts';
import { accepted } from '../handler.ts';
import { listedJob } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';
import { foreseenStatus } from '../status.ts';
import { claimFor, readClaim } from './claim.ts';
import { readAck, wireAcked } from './settlement.ts';

export function ack(engine: Engine): MethodHandler<typeof WorkerServiceService.ack> {
  return async (request, call) => {
    const { settlement, wish } = decode((fields) => ({
      settlement: readAck(fields, request),
      wish: request.next === undefined ? null : readClaim(fields.within('next'), request.next),
    }));
    const acked = accepted(await engine.workers.ack({ token: parseLeaseToken(request.leaseToken), ...settlement }));
    if (wish === null) return wireAcked(acked, wireJob);
    return { ...wireAcked(acked, listedJob), next: await claimNext(engine, wish, call) };
  };
}

/** The ack is committed: what refuses the claim must not hide that. */
async function claimNext(engine: Engine, wish: Claim, call: Call): Promise<AckResponse['next']> {
  try {
    return { $case: 'claimed', claimed: await claimFor(engine, wish, call) };
  } catch (error) {
    return { $case: 'claimError', claimError: foreseenStatus(error) };
  }
}
