import type { RetryPolicy } from './retry.ts';

/** Where jobs wait; carries the boundary and the default policies. */
export interface Queue {
  /** Its number within one history of the database. */
  readonly id: number;
  /** The epoch of that history. */
  readonly epoch: number;
  readonly namespace: string;
  readonly name: string;
  readonly leaseDurationMs: number;
  /** How long past its expiry a lease is still honoured by the server. */
  readonly leaseGraceMs: number;
  readonly cancellationBudgetMs: number;
  readonly retry: RetryPolicy;
  readonly deadLetterEnabled: boolean;
  /** The queue of the same namespace that gets a copy of each dead-lettered job; empty: none. */
  readonly deadLetterQueue: string;
  /** Bytes of payload that a dead letter keeps. */
  readonly deadLetterPayloadBytes: number;
}

export interface QueueName {
  readonly namespace: string;
  readonly name: string;
}

/** A key no two queues share: names cannot hold a slash. */
export function queueKey(queue: QueueName): string {
  return `${queue.namespace}/${queue.name}`;
}
