import type { BuiltInEventType } from './event.ts';
import type { JobState } from './job.ts';

/** Everything that can move a job, or leave a mark on it. */
export type Action =
  | 'enqueue'
  | 'promote'
  | 'block'
  | 'unblock'
  | 'claim'
  | 'start'
  | 'ack'
  | 'fail'
  | 'release'
  | 'suspend'
  | 'expire'
  | 'time_out'
  | 'cancel'
  | 'force_cancel'
  | 'request_abandon'
  | 'resume'
  | 'update'
  | 'retry'
  | 'complete_externally';

export interface Transition {
  /** Null: the job comes into being. */
  readonly from: JobState | null;
  readonly action: Action;
  readonly to: JobState;
  /** The one event that tells it. */
  readonly event: BuiltInEventType;
}

const IN_FLIGHT = ['LEASED', 'RUNNING'] as const;
const WAITING = ['SCHEDULED', 'BLOCKED', 'READY', 'RETRY_WAIT', 'SUSPENDED'] as const;

/**
 * The state machine: what is not listed here cannot happen. A claim that starts at once is two of these in one commit,
 * claim then start. Where one action leads to several states, these decide: the retry policy (fail, expire, time_out), a delay
 * or a time (enqueue, release, update), a concurrency key (enqueue, promote, release, update, resume and retry of a job that has one lead to
 * BLOCKED), too many releases, a cancel request before (fail, release, suspend, expire, time_out end it CANCELLED), an owner-bound job that was started or a request to abandon (expire, time_out).
 */
export const TRANSITIONS: readonly Transition[] = [
  { from: null, action: 'enqueue', to: 'READY', event: 'enqueued' },
  { from: null, action: 'enqueue', to: 'BLOCKED', event: 'enqueued' },
  { from: null, action: 'enqueue', to: 'SCHEDULED', event: 'enqueued' },
  { from: 'SCHEDULED', action: 'promote', to: 'READY', event: 'ready' },
  { from: 'RETRY_WAIT', action: 'promote', to: 'READY', event: 'ready' },
  { from: 'SCHEDULED', action: 'promote', to: 'BLOCKED', event: 'ready' },
  { from: 'RETRY_WAIT', action: 'promote', to: 'BLOCKED', event: 'ready' },
  { from: 'BLOCKED', action: 'unblock', to: 'READY', event: 'ready' },
  { from: 'READY', action: 'block', to: 'BLOCKED', event: 'updated' },
  { from: 'READY', action: 'claim', to: 'LEASED', event: 'claimed' },
  { from: 'LEASED', action: 'start', to: 'RUNNING', event: 'started' },
  { from: 'RUNNING', action: 'ack', to: 'SUCCEEDED', event: 'succeeded' },
  { from: 'RUNNING', action: 'fail', to: 'RETRY_WAIT', event: 'retry_scheduled' },
  { from: 'RUNNING', action: 'fail', to: 'FAILED', event: 'failed' },
  { from: 'RUNNING', action: 'fail', to: 'CANCELLED', event: 'cancelled' },
  ...IN_FLIGHT.flatMap((from): Transition[] => [
    { from, action: 'release', to: 'READY', event: 'released' },
    { from, action: 'release', to: 'BLOCKED', event: 'released' },
    { from, action: 'release', to: 'SCHEDULED', event: 'released' },
    { from, action: 'release', to: 'FAILED', event: 'failed' },
    { from, action: 'release', to: 'CANCELLED', event: 'cancelled' },
  ]),
  { from: 'RUNNING', action: 'suspend', to: 'SUSPENDED', event: 'suspended' },
  { from: 'RUNNING', action: 'suspend', to: 'CANCELLED', event: 'cancelled' },
  ...IN_FLIGHT.flatMap((from) => [
    { from, action: 'expire', to: 'RETRY_WAIT', event: 'retry_scheduled' } as const,
    { from, action: 'expire', to: 'ABANDONED', event: 'abandoned' } as const,
    ...(['expire', 'time_out'] as const).flatMap((action): Transition[] => [
      { from, action, to: 'FAILED', event: 'failed' },
      { from, action, to: 'CANCELLED', event: 'cancelled' },
    ]),
    { from, action: 'cancel', to: from, event: 'cancel_requested' } as const,
    { from, action: 'force_cancel', to: 'CANCELLED', event: 'cancelled' } as const,
    { from, action: 'request_abandon', to: from, event: 'abandon_requested' } as const,
  ]),
  { from: 'RUNNING', action: 'time_out', to: 'RETRY_WAIT', event: 'retry_scheduled' },
  { from: 'RUNNING', action: 'time_out', to: 'ABANDONED', event: 'abandoned' },
  ...WAITING.flatMap((from): Transition[] => [
    { from, action: 'cancel', to: 'CANCELLED', event: 'cancelled' },
    { from, action: 'time_out', to: 'FAILED', event: 'failed' },
    { from, action: 'update', to: from, event: 'updated' },
  ]),
  { from: 'SCHEDULED', action: 'update', to: 'READY', event: 'updated' },
  { from: 'RETRY_WAIT', action: 'update', to: 'READY', event: 'updated' },
  { from: 'SCHEDULED', action: 'update', to: 'BLOCKED', event: 'updated' },
  { from: 'RETRY_WAIT', action: 'update', to: 'BLOCKED', event: 'updated' },
  { from: 'READY', action: 'update', to: 'SCHEDULED', event: 'updated' },
  { from: 'BLOCKED', action: 'update', to: 'SCHEDULED', event: 'updated' },
  ...(['READY', 'BLOCKED'] as const).flatMap((to): Transition[] => [
    { from: 'SUSPENDED', action: 'resume', to, event: 'resumed' },
    { from: 'FAILED', action: 'retry', to, event: 'retried' },
    { from: 'CANCELLED', action: 'retry', to, event: 'retried' },
  ]),
  ...(['SCHEDULED', 'READY'] as const).flatMap((from): Transition[] => [
    { from, action: 'complete_externally', to: 'SUCCEEDED', event: 'succeeded' },
    { from, action: 'complete_externally', to: 'FAILED', event: 'failed' },
    { from, action: 'complete_externally', to: 'CANCELLED', event: 'cancelled' },
  ]),
];

export function isAllowed(from: JobState | null, event: BuiltInEventType, to: JobState): boolean {
  return TRANSITIONS.some((transition) => transition.from === from && transition.event === event && transition.to === to);
}
