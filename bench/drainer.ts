import { credentials } from '@grpc/grpc-js';
import {
  AckRequest,
  ClaimRequest,
  type ClaimResponse,
  SettlementOutcome,
  SettleRequest,
  WorkerServiceClient,
} from '../gen/stint/v1/worker_service.ts';
import { call } from '../examples/call.ts';
import { durationOfMs } from '../examples/duration.ts';
import { CALL_LIMIT, expectAll } from './expect-all.ts';
import type { Place } from './messages.ts';
import { CONTENT_TYPE, LEASE_MS, RESULT, WORKER_ID } from './payload.ts';
import { queuesOf, type Route } from './route.ts';

/** How a worker takes jobs from the service and gives them back: the half of a route that any number of callers share. */
export type Drainer = Pick<Route, 'claim' | 'settle' | 'close'>;

const ack = { result: RESULT, contentType: CONTENT_TYPE };

/** `Claim`, then `Ack` of one job, which may ask for the next, or `Settle` of a batch. */
export function claimDrainer({ target, batch, through, ...place }: Place): Drainer {
  const queues = queuesOf(place);
  const workers = new WorkerServiceClient(target, credentials.createInsecure());
  const wishFor = (waitMs: number) =>
    ClaimRequest.fromPartial({
      workerId: WORKER_ID,
      queues: [...queues],
      maxJobs: batch,
      wait: durationOfMs(waitMs),
      leaseDuration: durationOfMs(LEASE_MS),
    });
  const next = through === 'next' ? wishFor(0) : undefined;
  // Claimed by acks, and not yet taken by a caller.
  const kept: string[] = [];
  const settleOne = async (leaseToken: string) => {
    const answer = await call(workers.ack.bind(workers), AckRequest.fromPartial({ leaseToken, ...ack, ...(next && { next }) }), CALL_LIMIT);
    if (answer.next?.$case === 'claimed') kept.push(...tokensOf(answer.next.claimed));
    return answer;
  };
  return {
    claim: async (waitMs) => {
      const token = kept.shift();
      return token === undefined ? tokensOf(await call(workers.claim.bind(workers), wishFor(waitMs), CALL_LIMIT)) : [token];
    },
    settle: async (tokens) => {
      if (batch > 1) return settleBatch(workers, tokens);
      expectAll(await Promise.all(tokens.map(settleOne)), ({ outcome }) => outcome === SettlementOutcome.APPLIED);
    },
    close: () => Promise.resolve(workers.close()),
  };
}

function tokensOf({ jobs }: ClaimResponse): readonly string[] {
  return jobs.map(({ lease }) => lease?.leaseToken ?? '');
}

async function settleBatch(workers: WorkerServiceClient, tokens: readonly string[]): Promise<void> {
  const settlements = tokens.map((leaseToken) => ({ leaseToken, action: { $case: 'ack' as const, ack } }));
  const { results } = await call(workers.settle.bind(workers), SettleRequest.fromPartial({ settlements }), CALL_LIMIT);
  expectAll(results, ({ result }) => result?.$case === 'ack' && result.ack.outcome === SettlementOutcome.APPLIED);
}
