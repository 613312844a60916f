import { credentials } from '@grpc/grpc-js';
import { EnqueueBatchRequest, EnqueueRequest, JobServiceClient } from '../gen/stint/v1/job_service.ts';
import { AckRequest, ClaimRequest, SettlementOutcome, SettleRequest, WorkerServiceClient } from '../gen/stint/v1/worker_service.ts';
import { call } from '../examples/call.ts';
import { durationOfMs } from '../examples/duration.ts';
import { CONTENT_TYPE, JOB_TYPE, LEASE_MS, PAYLOAD, RESULT, WORKER_ID } from './payload.ts';
import type { Place } from './messages.ts';
import { queuesOf, type Route, turningKeys } from './route.ts';

/** Longer than any call takes under load, shorter than anyone watches a bench that hangs. */
const bounds = { deadlineMs: 30_000 };

const ack = { result: RESULT, contentType: CONTENT_TYPE };

/** As a client does it: unary calls for a batch of one, batch calls otherwise; all over one connection a process. */
export function grpcRoute({ target, batch, keys, ...place }: Place): Promise<Route> {
  const queues = queuesOf(place);
  const jobs = new JobServiceClient(target, credentials.createInsecure());
  const workers = new WorkerServiceClient(target, credentials.createInsecure());
  const jobOf = jobsOf(queues, turningKeys(keys));
  return Promise.resolve({
    enqueue: batch === 1 ? enqueueOne(jobs, jobOf) : enqueueBatch(jobs, jobOf, batch),
    claim: async (waitMs) => {
      const wish = {
        workerId: WORKER_ID,
        queues: [...queues],
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

const jobsOf = (queues: readonly string[], nextKeys: ReturnType<typeof turningKeys>) => {
  let turn = 0;
  return () => ({
    queue: queues[(turn += 1) % queues.length] ?? '',
    type: JOB_TYPE,
    payload: PAYLOAD,
    contentType: CONTENT_TYPE,
    ...nextKeys(),
  });
};

type JobOf = ReturnType<typeof jobsOf>;

function enqueueOne(jobs: JobServiceClient, jobOf: JobOf): () => Promise<void> {
  return async () => {
    await call(jobs.enqueue.bind(jobs), EnqueueRequest.fromPartial({ job: jobOf() }), bounds);
  };
}

function enqueueBatch(jobs: JobServiceClient, jobOf: JobOf, batch: number): () => Promise<void> {
  return async () => {
    const request = EnqueueBatchRequest.fromPartial({ jobs: Array.from({ length: batch }, jobOf) });
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
