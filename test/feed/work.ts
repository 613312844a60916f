import { type JobId, type JobSpec, NO_TIMEOUTS } from '../../src/domain/job.ts';
import type { LeaseToken } from '../../src/domain/lease.ts';
import { parseLeaseToken } from '../../src/domain/lease.ts';
import type { Claim, Engine } from '../../src/engine/engine.ts';

export function spec(partial: Partial<JobSpec> = {}): JobSpec {
  return {
    queue: 'q',
    type: '',
    payload: new Uint8Array(),
    contentType: '',
    headers: {},
    labels: {},
    jobId: null,
    idempotency: null,
    onDuplicate: 'RETURN_EXISTING',
    priority: 0,
    runAt: null,
    concurrencyKey: '',
    timeouts: NO_TIMEOUTS,
    disposition: 'RERUNNABLE',
    fairnessKey: '',
    retry: { maxAttempts: null, initialBackoffMs: null, multiplier: null, maxBackoffMs: null, jitter: null, nonRetryableCodes: null },
    ...partial,
  };
}

export async function enqueue(engine: Engine, namespace: string, partial: Partial<JobSpec> = {}): Promise<JobId> {
  const answer = await engine.jobs.enqueue({ namespace, spec: spec(partial) });
  if (!answer.ok) throw new Error(answer.refusal.kind);
  return answer.value.job.jobId;
}

/** All in one commit. */
export async function enqueueTogether(engine: Engine, namespace: string, count: number): Promise<readonly JobId[]> {
  const items = Array.from({ length: count }, () => ({ ok: true as const, value: spec() }));
  const answer = await engine.jobs.enqueueBatch({ namespace, items, atomic: true });
  if (!answer.ok) throw new Error(answer.refusal.kind);
  return answer.value.flatMap((one) => (one.ok ? [one.value.job.jobId] : []));
}

/** One commit each. */
export async function enqueueInTurn(engine: Engine, namespace: string, count: number): Promise<readonly JobId[]> {
  const jobIds: JobId[] = [];
  while (jobIds.length < count) jobIds.push(await enqueue(engine, namespace));
  return jobIds;
}

export interface Taken {
  readonly jobId: JobId;
  readonly fence: bigint;
  readonly token: LeaseToken;
}

export async function claim(engine: Engine, namespace: string, partial: Partial<Claim> = {}): Promise<readonly Taken[]> {
  const { jobs } = await engine.workers.claim(
    {
      namespace,
      workerId: 'w',
      queues: ['q'],
      maxJobs: 1,
      waitMs: 0,
      leaseDurationMs: null,
      startOnClaim: true,
      requestId: null,
      ...partial,
    },
    new AbortController().signal,
  );
  return jobs.map(({ job: { jobId, fence }, lease }) => {
    const token = parseLeaseToken(lease.leaseToken);
    if (token === null) throw new Error('a lease has no token');
    return { jobId, fence, token };
  });
}

export async function ack(engine: Engine, token: LeaseToken): Promise<void> {
  const answer = await engine.workers.ack({ token, result: new Uint8Array(), contentType: '' });
  if (!answer.ok) throw new Error(answer.refusal.kind);
}

/** Enqueued, claimed and acked: four events. */
export async function runThrough(engine: Engine, namespace: string): Promise<JobId> {
  const jobId = await enqueue(engine, namespace);
  for (const { token } of await claim(engine, namespace)) await ack(engine, token);
  return jobId;
}
