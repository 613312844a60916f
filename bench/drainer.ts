import { credentials } from '@grpc/grpc-js';
import { AckRequest, ClaimRequest, SettlementOutcome, SettleRequest, WorkerServiceClient } from '../gen/stint/v1/worker_service.ts';
import { call } from '../examples/call.ts';
import { durationOfMs } from '../examples/duration.ts';
import { CALL_LIMIT, expectAll } from './expect-all.ts';
import type { Place } from './messages.ts';
import { CONTENT_TYPE, LEASE_MS, RESULT, WORKER_ID } from './payload.ts';
import { queuesOf, type Route } from './route.ts';

/** How a worker takes jobs from the service and gives them back: the half of a route that any number of callers share. */
export type Drainer = Pick<Route, 'claim' | 'settle' | 'close'>;

const ack = { result: RESULT, contentType: CONTENT_TYPE };

/** `Claim`, then `Ack` of one job or `Settle` of a batch. */
export function claimDrainer({ target, batch, ...place }: Place): Drainer {
  const queues = queuesOf(place);
  const workers = new WorkerServiceClient(target, credentials.createInsecure());
  return {
    claim: async (waitMs) => {
      const wish = {
        workerId: WORKER_ID,
        queues: [...queues],
        maxJobs: batch,
        wait: durationOfMs(waitMs),
        leaseDuration: durationOfMs(LEASE_MS),
      };
      const claimed = await call(workers.claim.bind(workers), ClaimRequest.fromPartial(wish), CALL_LIMIT);
      return claimed.jobs.map(({ lease }) => lease?.leaseToken ?? '');
    },
    settle: batch === 1 ? (tokens) => settleOne(workers, tokens) : (tokens) => settleBatch(workers, tokens),
    close: () => Promise.resolve(workers.close()),
  };
}

async function settleOne(workers: WorkerServiceClient, tokens: readonly string[]): Promise<void> {
  const answers = tokens.map((leaseToken) => call(workers.ack.bind(workers), AckRequest.fromPartial({ leaseToken, ...ack }), CALL_LIMIT));
  expectAll(await Promise.all(answers), ({ outcome }) => outcome === SettlementOutcome.APPLIED);
}

async function settleBatch(workers: WorkerServiceClient, tokens: readonly string[]): Promise<void> {
  const settlements = tokens.map((leaseToken) => ({ leaseToken, action: { $case: 'ack' as const, ack } }));
  const { results } = await call(workers.settle.bind(workers), SettleRequest.fromPartial({ settlements }), CALL_LIMIT);
  expectAll(results, ({ result }) => result?.$case === 'ack' && result.ack.outcome === SettlementOutcome.APPLIED);
}
