/** How many workers a queue needs, as an autoscaler asks it. */
import type { QueueName } from './queue.ts';
import type { QueueStats } from './queue-stats.ts';

/** `backlog`: jobs that are claimable or in flight. `oldest_age`: seconds for which the first of the claimable has been READY. */
export type ScaleBy = 'backlog' | 'oldest_age';

/** What an operator asked of one queue. */
export interface ScaleTrigger {
  readonly queue: QueueName;
  readonly scaleBy: ScaleBy;
  /** What one worker shall have of it: jobs, or seconds. */
  readonly target: number;
  /** What is claimable counts as work only above it: jobs, or seconds. */
  readonly activationThreshold: number;
}

/** How much there is to do. */
export interface Load {
  /** Jobs, or seconds: what divided by the target gives the workers. */
  readonly value: number;
  /** Whether there is work for a worker at all. */
  readonly isActive: boolean;
  /** Until it is active by the time alone; null where only a change of the queue makes it so. */
  readonly activeInMs: number | null;
}

/**
 * A job in flight counts, and keeps the queue active whatever the threshold: scaled by what waits alone, the worker that holds the last
 * job would be taken away under it.
 */
export function loadOf({ jobs, claimable, oldestReadyMs }: QueueStats, { scaleBy, activationThreshold }: ScaleTrigger): Load {
  const inFlight = jobs.leased + jobs.running;
  if (scaleBy === 'backlog') {
    return { value: claimable + inFlight, isActive: inFlight > 0 || claimable > activationThreshold, activeInMs: null };
  }
  const ageMs = claimable > 0 ? oldestReadyMs : null;
  if (ageMs === null) return { value: 0, isActive: inFlight > 0, activeInMs: null };
  const thresholdMs = activationThreshold * 1_000;
  const isActive = inFlight > 0 || activationThreshold === 0 || ageMs > thresholdMs;
  return { value: ageMs / 1_000, isActive, activeInMs: isActive ? null : thresholdMs - ageMs };
}
