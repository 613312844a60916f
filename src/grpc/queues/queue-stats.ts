import type { QueueStats } from '../../domain/queue-stats.ts';
import { QueueLimiter, type QueueStats as WireStats } from '../../../gen/stint/v1/queue.ts';
import { duration, timestamp } from '../encode.ts';
import { wireCounts, wireStatus } from './queue.ts';

export function wireStats({ namespace, name, observedAt, jobs, oldestReadyMs, rates, oldestSnapshotMs, ...stats }: QueueStats): WireStats {
  return {
    namespace,
    queue: name,
    observedAt: timestamp(observedAt),
    jobs: { ...wireCounts(jobs), blocked: BigInt(jobs.blocked) },
    inFlight: BigInt(jobs.leased + jobs.running),
    oldestReadyAge: oldestReadyMs === null ? undefined : duration(oldestReadyMs),
    enqueueRate: rates.enqueued,
    claimRate: rates.claimed,
    finishRate: rates.finished,
    failRate: rates.failed,
    limiter: QueueLimiter[stats.limiter],
    deadLetters: BigInt(stats.deadLetters),
    oldestSnapshotAge: oldestSnapshotMs === null ? undefined : duration(oldestSnapshotMs),
    status: wireStatus(stats.status),
  };
}
