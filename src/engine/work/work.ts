/** What a worker and the service say to each other in a session. */
import type { Micros } from '../../domain/job.ts';
import { DEFAULT_SETTINGS } from '../../domain/queue.ts';
import type { Ending } from '../ending.ts';
import type { Beat, Settled, Settlement } from '../workers/words.ts';
import type { WorkedQueue } from '../ports/work.ts';
import type { ClaimedJob } from '../ports/repository.ts';
import type { HeartbeatOutcome, LeaseLossReason } from '../ports/leases.ts';

export interface OpenWork {
  readonly namespace: string;
  readonly workerId: string;
  readonly queues: readonly string[];
  /** Empty: any. */
  readonly types: readonly string[];
  /** Unsettled jobs that the worker is willing to hold. */
  readonly credits: number;
  /** Null takes the shortest of the queues'. */
  readonly leaseDurationMs: number | null;
}

export type WorkMessage =
  | { readonly kind: 'opened'; readonly sessionId: string; readonly heartbeatIntervalMs: number }
  | { readonly kind: 'assigned'; readonly jobs: readonly ClaimedJob[] }
  | { readonly kind: 'settled'; readonly id: string; readonly results: readonly Settled[] }
  /** Positional: one for each beat. */
  | { readonly kind: 'heartbeat'; readonly outcomes: readonly HeartbeatOutcome[] }
  | { readonly kind: 'cancel'; readonly leaseToken: string; readonly cancelDeadline: Micros }
  | { readonly kind: 'lease_lost'; readonly leaseToken: string; readonly reason: LeaseLossReason }
  | { readonly kind: 'drain'; readonly queue: string }
  | { readonly kind: 'reconnect'; readonly reason: Ending };

/** What a worker says once its session is open. What cannot be done ends the messages with the cause. */
export interface WorkSession {
  /** To be read once. Whoever stops reading ends the session: what is assigned and was not taken goes back, unspent. */
  readonly messages: AsyncIterable<WorkMessage>;
  /** No answer will be taken any more: what the worker still says is of no use. */
  readonly isOver: boolean;
  setCredits(credits: number): void;
  /** Resolves once the answer is taken. */
  settle(id: string, settlements: readonly Settlement[]): Promise<void>;
  /** Of every lease that the worker holds. Resolves once the answer is taken. */
  heartbeat(beats: readonly Beat[]): Promise<void>;
  /** The worker says no more: nothing is assigned any more, and the messages end behind what was put. */
  finish(): void;
  /** Ends the messages with this cause; leases are left alone. */
  fail(cause: unknown): void;
}

/** How long the leases of a session run. Queues that are not there yet will begin with the default. */
export function leaseMsOf(open: OpenWork, queues: readonly WorkedQueue[]): number {
  if (open.leaseDurationMs !== null) return open.leaseDurationMs;
  return queues.length === 0 ? DEFAULT_SETTINGS.leaseDurationMs : Math.min(...queues.map(({ leaseDurationMs }) => leaseDurationMs));
}
