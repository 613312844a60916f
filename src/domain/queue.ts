import type { Micros } from './job.ts';
import { RETENTION_MS } from './retention.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from './retry.ts';

export interface QueueName {
  readonly namespace: string;
  readonly name: string;
}

/** Where jobs wait: how statements name it. What it is configured to, they read for themselves. */
export interface Queue extends QueueName {
  /** Its number within one history of the database. */
  readonly id: number;
  /** The epoch of that history. */
  readonly epoch: number;
}

/** How workers fetch. One backlog and one order in each mode. */
export type QueueMode = 'PULL_ONLY' | 'PUSH_ONLY' | 'PUSH_PULL';
export const MODE_CODES = { PULL_ONLY: 1, PUSH_ONLY: 2, PUSH_PULL: 3 } as const satisfies Record<QueueMode, number>;

/** How a claim comes: `Claim` pulls, `Work` is pushed to. */
export type ClaimChannel = 'pull' | 'push';

/** The mode in which a queue gives nothing that way. */
export const CLOSED_MODE = { pull: 'PUSH_ONLY', push: 'PULL_ONLY' } as const satisfies Record<ClaimChannel, QueueMode>;

/** What an operator has a queue do. */
export type QueueStatus = 'ACTIVE' | 'PAUSED' | 'DRAINING_BACKLOG' | 'DRAINING_IN_FLIGHT';
export const STATUS_CODES = { ACTIVE: 1, PAUSED: 2, DRAINING_BACKLOG: 3, DRAINING_IN_FLIGHT: 4 } as const satisfies Record<
  QueueStatus,
  number
>;

/** What an operator does to a queue, and the status that it has then. */
export const ACTIONS = {
  PAUSE: 'PAUSED',
  RESUME: 'ACTIVE',
  DRAIN_BACKLOG: 'DRAINING_BACKLOG',
  DRAIN_IN_FLIGHT: 'DRAINING_IN_FLIGHT',
} as const satisfies Record<string, QueueStatus>;
export type OperatorAction = keyof typeof ACTIONS;

/** A token bucket over claims: `permits` in each period, and up to `burst` at once after a quiet time. */
export interface RateLimit {
  /** One bucket for each concurrency key, and not one for the queue. */
  readonly perKey: boolean;
  readonly permits: number;
  readonly periodMs: number;
  readonly burst: number;
}

/** What becomes of a job's slot while it waits for another try or is suspended. */
export type ConcurrencyPolicy = 'RELEASE' | 'HOLD';

/** What can be configured of a queue. Null bounds bound nothing. */
export interface QueueSettings {
  readonly mode: QueueMode;
  /** Jobs that are LEASED or RUNNING at once. */
  readonly maxInFlight: number | null;
  /** Of those, in the hands of one worker. */
  readonly maxInFlightPerWorker: number | null;
  /** Waiting jobs from which on new ones are refused. */
  readonly maxQueued: number | null;
  readonly rateLimit: RateLimit | null;
  /** Jobs of one concurrency key that hold a slot at once. */
  readonly concurrencyPerKey: number;
  /** Whether a job keeps its slot while it waits for another try or is suspended. */
  readonly concurrencyPolicy: ConcurrencyPolicy;
  readonly cancellationBudgetMs: number;
  readonly leaseDurationMs: number;
  /** How long past its expiry a lease is still honoured by the server. */
  readonly leaseGraceMs: number;
  readonly retry: RetryPolicy;
  readonly deadLetterEnabled: boolean;
  /** The queue of the same namespace that gets a copy of each dead-lettered job; empty: none. */
  readonly deadLetterQueue: string;
  /** Bytes of payload that a dead letter keeps. */
  readonly deadLetterPayloadBytes: number;
  /** By fairness key; 1 for one that is not there. */
  readonly fairnessWeights: Readonly<Record<string, number>>;
  /** How long its jobs are kept behind their end. */
  readonly retentionMs: number;
}

export const DEFAULT_SETTINGS: QueueSettings = {
  mode: 'PUSH_PULL',
  maxInFlight: null,
  maxInFlightPerWorker: null,
  maxQueued: null,
  rateLimit: null,
  concurrencyPerKey: 1,
  concurrencyPolicy: 'RELEASE',
  cancellationBudgetMs: 30_000,
  leaseDurationMs: 30_000,
  leaseGraceMs: 5_000,
  retry: DEFAULT_RETRY_POLICY,
  deadLetterEnabled: true,
  deadLetterQueue: '',
  deadLetterPayloadBytes: 65_536,
  fairnessWeights: {},
  retentionMs: RETENTION_MS.default,
};

/** A queue as it is. */
export interface ConfiguredQueue extends QueueName {
  readonly settings: QueueSettings;
  readonly status: QueueStatus;
  /** What the operator said. */
  readonly statusReason: string;
  readonly createdAt: Micros;
  readonly updatedAt: Micros;
}

/** Jobs of a queue in each state in which they are not over. */
export interface JobCounts {
  readonly scheduled: number;
  readonly blocked: number;
  readonly ready: number;
  readonly leased: number;
  readonly running: number;
  readonly retryWait: number;
  readonly suspended: number;
}

/** Whether nothing is left of what a draining queue still has to do. */
export function isDrained(status: QueueStatus, { blocked, ready, leased, running, retryWait }: JobCounts): boolean {
  const inFlight = leased + running;
  return status === 'DRAINING_IN_FLIGHT' ? inFlight === 0 : blocked + ready + retryWait + inFlight === 0;
}

/** What a producer waits where nobody knows how fast the queue drains. */
const UNKNOWN_DRAIN_MS = 5_000;
const DRAIN_MS = { min: 100, max: 60_000 };

/** Milliseconds until the next place is free in a full queue that so many jobs a second leave: 1 / rate, within bounds. */
export function drainTimeMs(jobsPerSecond: number): number {
  if (jobsPerSecond <= 0) return UNKNOWN_DRAIN_MS;
  return Math.min(DRAIN_MS.max, Math.max(DRAIN_MS.min, Math.ceil(1_000 / jobsPerSecond)));
}

/** A key no two queues share: names cannot hold a slash. */
export function queueKey(queue: QueueName): string {
  return `${queue.namespace}/${queue.name}`;
}
