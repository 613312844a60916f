import type { BuiltInEventType } from './event.ts';
import type { JobState } from './job.ts';

/** Everything that can move a job. Each is one file on every floor, or one of upkeep's rounds. */
export type Action = 'enqueue' | 'promote' | 'claim' | 'start' | 'ack' | 'fail' | 'expire' | 'release';

export interface Transition {
  /** Null: the job comes into being. */
  readonly from: JobState | null;
  readonly action: Action;
  readonly to: JobState;
  /** The one event that tells it. */
  readonly event: BuiltInEventType;
}

/**
 * The state machine: what is not listed here cannot happen. A claim that starts at once is two of these in one commit,
 * claim then start. Where one action leads to two states, the retry policy (fail, expire), a delay (enqueue, release) or too many releases decide.
 */
export const TRANSITIONS: readonly Transition[] = [
  { from: null, action: 'enqueue', to: 'READY', event: 'enqueued' },
  { from: null, action: 'enqueue', to: 'SCHEDULED', event: 'enqueued' },
  { from: 'SCHEDULED', action: 'promote', to: 'READY', event: 'ready' },
  { from: 'RETRY_WAIT', action: 'promote', to: 'READY', event: 'ready' },
  { from: 'READY', action: 'claim', to: 'LEASED', event: 'claimed' },
  { from: 'LEASED', action: 'start', to: 'RUNNING', event: 'started' },
  { from: 'RUNNING', action: 'ack', to: 'SUCCEEDED', event: 'succeeded' },
  { from: 'RUNNING', action: 'fail', to: 'RETRY_WAIT', event: 'retry_scheduled' },
  { from: 'RUNNING', action: 'fail', to: 'FAILED', event: 'failed' },
  { from: 'LEASED', action: 'expire', to: 'RETRY_WAIT', event: 'retry_scheduled' },
  { from: 'LEASED', action: 'expire', to: 'FAILED', event: 'failed' },
  { from: 'RUNNING', action: 'expire', to: 'RETRY_WAIT', event: 'retry_scheduled' },
  { from: 'RUNNING', action: 'expire', to: 'FAILED', event: 'failed' },
  { from: 'LEASED', action: 'release', to: 'READY', event: 'released' },
  { from: 'LEASED', action: 'release', to: 'SCHEDULED', event: 'released' },
  { from: 'RUNNING', action: 'release', to: 'READY', event: 'released' },
  { from: 'RUNNING', action: 'release', to: 'SCHEDULED', event: 'released' },
  { from: 'LEASED', action: 'release', to: 'FAILED', event: 'failed' },
  { from: 'RUNNING', action: 'release', to: 'FAILED', event: 'failed' },
];

export function isAllowed(from: JobState | null, event: BuiltInEventType, to: JobState): boolean {
  return TRANSITIONS.some((transition) => transition.from === from && transition.event === event && transition.to === to);
}
