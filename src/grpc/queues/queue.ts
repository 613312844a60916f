import type { ConfiguredQueue, JobCounts, QueueStatus, RateLimit } from '../../domain/queue.ts';
import type { RetryPolicy } from '../../domain/retry.ts';
import {
  ConcurrencyPolicy as WirePolicy,
  JobCounts as WireJobCounts,
  Queue as WireQueue,
  QueueMode,
  QueueStatus as WireStatus,
  type RateLimit as WireRateLimit,
} from '../../../gen/stint/v1/queue.ts';
import type { RetryPolicy as WireRetryPolicy } from '../../../gen/stint/v1/retry.ts';
import { duration, timestamp } from '../encode.ts';

export function wireQueue({ name, settings, status, statusReason, createdAt, updatedAt }: ConfiguredQueue): WireQueue {
  return {
    ...UNTOLD,
    name,
    mode: QueueMode[settings.mode],
    maxInFlight: settings.maxInFlight ?? undefined,
    maxInFlightPerWorker: settings.maxInFlightPerWorker ?? undefined,
    maxQueued: settings.maxQueued ?? undefined,
    cancellationBudget: duration(settings.cancellationBudgetMs),
    leaseDuration: duration(settings.leaseDurationMs),
    leaseGrace: duration(settings.leaseGraceMs),
    retry: wireRetryPolicy(settings.retry),
    deadLetter: {
      enabled: settings.deadLetterEnabled,
      queue: settings.deadLetterQueue,
      maxPayloadBytes: settings.deadLetterPayloadBytes,
    },
    concurrencyPerKey: settings.concurrencyPerKey,
    concurrencyPolicy: WirePolicy[settings.concurrencyPolicy],
    fairnessWeights: { ...settings.fairnessWeights },
    rateLimit: settings.rateLimit === null ? undefined : wireRateLimit(settings.rateLimit),
    retention: duration(settings.retentionMs),
    status: wireStatus(status),
    statusReason,
    createdAt: timestamp(createdAt),
    updatedAt: timestamp(updatedAt),
  };
}

/** Fields of the contract that no queue of this service has a value for. */
const UNTOLD = WireQueue.fromPartial({});

export function wireStatus(status: QueueStatus): WireStatus {
  return WireStatus[status];
}

export function wireCounts({ scheduled, blocked, ready, leased, running, retryWait, suspended }: JobCounts): WireJobCounts {
  return {
    ...NOTHING_COUNTED,
    ...{ scheduled: BigInt(scheduled), blocked: BigInt(blocked), ready: BigInt(ready), leased: BigInt(leased), running: BigInt(running) },
    ...{ retryWait: BigInt(retryWait), suspended: BigInt(suspended) },
  };
}

const NOTHING_COUNTED = WireJobCounts.fromPartial({});

function wireRateLimit({ permits, periodMs, burst, perKey }: RateLimit): WireRateLimit {
  return { permits, period: duration(periodMs), burst, perKey };
}

function wireRetryPolicy(policy: RetryPolicy): WireRetryPolicy {
  return {
    maxAttempts: policy.maxAttempts,
    initialBackoff: duration(policy.initialBackoffMs),
    multiplier: policy.multiplier,
    maxBackoff: duration(policy.maxBackoffMs),
    jitter: policy.jitter,
    nonRetryableCodes: [...policy.nonRetryableCodes],
  };
}
