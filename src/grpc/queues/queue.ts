import type { Queue } from '../../domain/queue.ts';
import type { RetryPolicy } from '../../domain/retry.ts';
import { Queue as WireQueue, QueueMode, QueueStatus } from '../../../gen/stint/v1/queue.ts';
import type { RetryPolicy as WireRetryPolicy } from '../../../gen/stint/v1/retry.ts';
import { duration } from '../encode.ts';

export function wireQueue(queue: Queue): WireQueue {
  return {
    ...UNTOLD,
    name: queue.name,
    mode: QueueMode.PUSH_PULL,
    cancellationBudget: duration(queue.cancellationBudgetMs),
    leaseDuration: duration(queue.leaseDurationMs),
    leaseGrace: duration(queue.leaseGraceMs),
    retry: wireRetryPolicy(queue.retry),
    deadLetter: { enabled: queue.deadLetterEnabled, queue: '', maxPayloadBytes: undefined },
    status: QueueStatus.ACTIVE,
  };
}

/** Fields of the contract that no queue of this service has a value for. */
const UNTOLD = WireQueue.fromPartial({});

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
