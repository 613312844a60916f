// A worker, whole: claims jobs that name a file, computes its SHA-256, hands it over as the result.
//
//   node dist/examples/worker.js QUEUE WORKER_ID [HOST:PORT]
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import { FailureKind } from '../gen/stint/v1/retry.ts';
import { ClaimRequest, HeartbeatRequest, SettleRequest, type Settlement, WorkerServiceClient } from '../gen/stint/v1/worker_service.ts';
import { call, callUntilAnswered, isPassing } from './call.ts';
import { durationMs, durationOfMs } from './duration.ts';
import { hashFile } from './hash-file.ts';
import { HeldLease } from './held-lease.ts';

const jobsAtATime = 50;
const leaseMs = 5_000;
/** Shorter than the lease, whose time runs from the sending of the claim and not from its answer. */
const waitMs = 2_000;

const [queue = '', workerId = '', address = '127.0.0.1:50051'] = process.argv.slice(2);
if (workerId === '') {
  console.error('usage: worker QUEUE WORKER_ID [HOST:PORT]');
  process.exit(2);
}

const service = new WorkerServiceClient(address, credentials.createInsecure());
const leaving = new AbortController();
for (const reason of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(reason, () => leaving.abort());

while (!leaving.signal.aborted) {
  try {
    await claimAndWork();
  } catch (error) {
    if (leaving.signal.aborted) break;
    if (!isPassing(error)) throw error;
    await pause(500);
  }
}
service.close();
process.disconnect?.();

async function claimAndWork(): Promise<void> {
  const leases = await claim();
  if (leases.length === 0) return;
  const intervalMs = durationMs(leases[0]?.job.lease?.heartbeatInterval);
  const heartbeats = setInterval(() => void renew(leases), intervalMs);
  try {
    const settlements = await Promise.all(leases.map(work));
    await settle(settlements.filter((settlement) => settlement !== null));
  } finally {
    clearInterval(heartbeats);
    for (const lease of leases) lease.letGo();
  }
}

async function claim(): Promise<HeldLease[]> {
  const sentAt = performance.now();
  // The request id makes a lost answer harmless: the second try is given the same leases.
  const request = ClaimRequest.fromPartial({
    workerId,
    queues: [queue],
    maxJobs: jobsAtATime,
    wait: durationOfMs(waitMs),
    leaseDuration: durationOfMs(leaseMs),
    requestId: randomUUID(),
  });
  const bounds = { deadlineMs: waitMs + 1_000, giveUpAfterMs: leaseMs / 2, signal: leaving.signal };
  const { jobs } = await callUntilAnswered(service.claim.bind(service), request, bounds);
  return jobs.map((job) => new HeldLease(job, sentAt));
}

/** One job: its result, its failure, or nothing if the lease ended first. Then it is another worker's. */
async function work(lease: HeldLease): Promise<Settlement | null> {
  const leaseToken = lease.token;
  try {
    const result = await hashFile(Buffer.from(lease.job.payload).toString('utf8'), lease.signal);
    if (!lease.isLive) return null;
    return { leaseToken, action: { $case: 'ack', ack: { result, contentType: 'application/octet-stream' } } };
  } catch (error) {
    if (!lease.isLive) return null;
    const failure = { code: 'file.unreadable', message: String(error), details: '', kind: FailureKind.RETRYABLE };
    return { leaseToken, action: { $case: 'fail', fail: { failure, retryAfter: undefined, throttleUntil: undefined } } };
  }
}

async function renew(leases: readonly HeldLease[]): Promise<void> {
  const held = leases.filter((lease) => lease.isLive);
  if (held.length === 0) return;
  const sentAt = performance.now();
  const request = HeartbeatRequest.fromPartial({ workerId, leases: held.map(({ token }) => ({ leaseToken: token })) });
  try {
    const { results } = await call(service.heartbeat.bind(service), request, { deadlineMs: leaseMs });
    results.forEach((result, at) => held[at]?.heard(result, sentAt));
  } catch {
    // The next heartbeat tries again; if none gets through, each lease ends by its own clock.
  }
}

/** A lost answer is no harm: settling again with the same token is answered the same. A lost lease is refused, item by item. */
async function settle(settlements: Settlement[]): Promise<void> {
  if (settlements.length === 0) return;
  await callUntilAnswered(service.settle.bind(service), SettleRequest.fromPartial({ settlements }));
}
