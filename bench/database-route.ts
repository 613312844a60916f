import { randomUUID } from 'node:crypto';
import { NO_TIMEOUTS } from '../src/domain/job.ts';
import { parseLeaseToken } from '../src/domain/lease.ts';
import { contentDigest } from '../src/engine/jobs/content-digest.ts';
import { JobIdMint } from '../src/engine/jobs/mint-job-id.ts';
import { DATABASE_CLOCK } from '../src/engine/ports/clock.ts';
import type { EnqueueItem } from '../src/engine/ports/repository.ts';
import { openStore } from '../src/repository/store.ts';
import { CONTENT_TYPE, JOB_TYPE, LEASE_MS, payloadOf, RESULT, WORKER_ID } from './payload.ts';
import type { Place } from './messages.ts';
import { queuesOf, type Route, turningKeys } from './route.ts';

/** The statements of the service as they are, each call one of them: no gRPC, no engine. A claim does not wait. */
export async function databaseRoute({ target, batch, keys, ...place }: Place): Promise<Route> {
  const store = await openStore({ url: target, clock: DATABASE_CLOCK, random: Math.random });
  const { repository } = store;
  await repository.ensurePartitions();
  const mint = new JobIdMint();
  mint.setDatabaseTime(await repository.databaseTime());
  const queues = await repository.createQueues(queuesOf(place).map((name) => ({ namespace: 'default', name })));
  const nextKeys = turningKeys(keys);
  const payload = payloadOf(place.payloadBytes);
  let turn = 0;
  const nextItem = () => itemOf(queues[(turn += 1) % queues.length], mint, { payload, ...nextKeys() });
  return {
    enqueue: async () => {
      const outcomes = await repository.enqueueMany(Array.from({ length: batch }, nextItem));
      if (outcomes.some(({ kind }) => kind !== 'enqueued')) throw new Error('a job was not enqueued');
    },
    claim: async () => {
      const slot = {
        workerId: WORKER_ID,
        maxJobs: batch,
        leaseDurationMs: LEASE_MS,
        startOnClaim: true,
        requestId: null,
        secret: randomUUID(),
      };
      const given = await repository.claim(queues, [slot]);
      return given.jobs.flat().map(({ lease }) => lease.leaseToken);
    },
    settle: async (tokens) => {
      const items = tokens
        .flatMap((text) => parseLeaseToken(text) ?? [])
        .map((token) => ({ token, result: RESULT, contentType: CONTENT_TYPE }));
      const outcomes = await repository.ackMany(items);
      if (outcomes.some(({ kind }) => kind !== 'applied')) throw new Error('a job was not settled');
    },
    close: () => store.close(),
  };
}

/** A job as the bench enqueues it, with an id of its own. */
export function itemOf(
  queue: EnqueueItem['queue'] | undefined,
  mint: JobIdMint,
  own: Pick<EnqueueItem['spec'], 'payload' | 'fairnessKey' | 'concurrencyKey'>,
): EnqueueItem {
  if (queue === undefined) throw new Error('a queue was not made');
  const spec: EnqueueItem['spec'] = {
    queue: queue.name,
    type: JOB_TYPE,
    contentType: CONTENT_TYPE,
    headers: {},
    labels: {},
    jobId: null,
    idempotency: null,
    onDuplicate: 'RETURN_EXISTING',
    priority: 0,
    runAt: null,
    timeouts: NO_TIMEOUTS,
    disposition: 'RERUNNABLE' as const,
    ...own,
    retry: { maxAttempts: null, initialBackoffMs: null, multiplier: null, maxBackoffMs: null, jitter: null, nonRetryableCodes: null },
  };
  return { queue, spec, jobId: mint.mint(), digest: contentDigest(spec) };
}
