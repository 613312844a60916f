import { credentials } from '@grpc/grpc-js';
import { EnqueueBatchRequest, EnqueueRequest, JobServiceClient } from '../gen/stint/v1/job_service.ts';
import { AckRequest, ClaimRequest, SettlementOutcome, SettleRequest, WorkerServiceClient } from '../gen/stint/v1/worker_service.ts';
import { call } from '../examples/call.ts';
import { durationOfMs } from '../examples/duration.ts';
import { CONTENT_TYPE, JOB_TYPE, LEASE_MS, PAYLOAD, RESULT, WORKER_ID } from './payload.ts';
import type { Route } from './route.ts';

/** Longer than any call takes under load, shorter than anyone watches a bench that hangs. */
const bounds = { deadlineMs: 30_000 };

const ack = { result: RESULT, contentType: CONTENT_TYPE };

/** As a client does it: unary calls for a batch of one, batch calls otherwise; all over one connection a process. */
export function grpcRoute(target: string, queue: string, batch: number): Promise<Route> {
  const jobs = new JobServiceClient(target, credentials.createInsecure());
  const workers = new WorkerServiceClient(target, credentials.createInsecure());
  return Promise.resolve({
    enqueue: batch === 1 ? enqueueOne(jobs, queue) : enqueueBatch(jobs, queue, batch),
    claim: async (waitMs) => {
      const wish = {
        workerId: WORKER_ID,
        queues: [queue],
        maxJobs: batch,
        wait: durationOfMs(waitMs),
        leaseDuration: durationOfMs(LEASE_MS),
      };
      const claimed = await call(workers.claim.bind(workers), ClaimRequest.fromPartial(wish), bounds);
      return claimed.jobs.map(({ lease }) => lease?.leaseToken ?? '');
    },
    settle: batch === 1 ? (tokens) => settleOne(workers, tokens) : (tokens) => settleBatch(workers, tokens),
    close: async () => {
      jobs.close();
      workers.close();
    },
  });
}

const jobOf = (queue: string) => ({ queue, type: JOB_TYPE, payload: PAYLOAD, contentType: CONTENT_TYPE });

function enqueueOne(jobs: JobServiceClient, queue: string): () => Promise<void> {
  const request = EnqueueRequest.fromPartial({ job: jobOf(queue) });
  return async () => {
    await call(jobs.enqueue.bind(jobs), request, bounds);
  };
}

function enqueueBatch(jobs: JobServiceClient, queue: string, batch: number): () => Promise<void> {
  const request = EnqueueBatchRequest.fromPartial({ jobs: Array.from({ length: batch }, () => jobOf(queue)) });
  return async () => {
    const { results } = await call(jobs.enqueueBatch.bind(jobs), request, bounds);
    expectAll(results, ({ result }) => result?.$case === 'job');
  };
}

async function settleOne(workers: WorkerServiceClient, tokens: readonly string[]): Promise<void> {
  const answers = tokens.map((leaseToken) => call(workers.ack.bind(workers), AckRequest.fromPartial({ leaseToken, ...ack }), bounds));
  expectAll(await Promise.all(answers), ({ outcome }) => outcome === SettlementOutcome.APPLIED);
}

async function settleBatch(workers: WorkerServiceClient, tokens: readonly string[]): Promise<void> {
  const settlements = tokens.map((leaseToken) => ({ leaseToken, action: { $case: 'ack' as const, ack } }));
  const { results } = await call(workers.settle.bind(workers), SettleRequest.fromPartial({ settlements }), bounds);
  expectAll(results, ({ result }) => result?.$case === 'ack' && result.ack.outcome === SettlementOutcome.APPLIED);
}

function expectAll<Result>(results: readonly Result[], holds: (result: Result) => boolean): void {
  const bad = results.find((result) => !holds(result));
  if (bad !== undefined)
    throw new Error(
      `a call was refused: ${JSON.stringify(bad, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`,
    );
}
