/** What keeps queues from giving, and what a claim is told of it. */
import type { QueueName } from '../../domain/queue.ts';
import type { Claimed } from '../engine.ts';
import type { QueueLimit } from '../ports/queues.ts';

/** Queues that a claim names, and what its last look found to limit them. */
interface Limited {
  readonly names: readonly QueueName[];
  readonly limits: readonly QueueLimit[];
}

/** Milliseconds until a rate lets the next one through, if that is sooner than `atMostMs`. */
export function opensInMs({ limits }: Limited, atMostMs: number): number {
  return Math.min(atMostMs, ...limits.map(({ openInMs }) => openInMs ?? atMostMs));
}

export function isEvery({ names, limits }: Limited, ...limiters: readonly QueueLimit['limiter'][]): boolean {
  return limits.filter(({ limiter }) => limiters.includes(limiter)).length === names.length;
}

/** Whether a place in flight of this queue, or in the hands of a worker, is what its claims wait for. */
export function waitsForPlace({ limits }: Limited, name: string): boolean {
  return limits.some(({ queue, limiter }) => queue === name && (limiter === 'MAX_IN_FLIGHT' || limiter === 'PER_WORKER'));
}

const HOLDS_BACK: ReadonlySet<QueueLimit['limiter']> = new Set(['MAX_IN_FLIGHT', 'PER_WORKER', 'RATE']);

export function nothingFrom(limited: Limited): Claimed {
  const isHeldBack = limited.limits.some(({ limiter, ready }) => ready && HOLDS_BACK.has(limiter));
  return { jobs: [], decision: isHeldBack ? 'BACKPRESSURE' : isEvery(limited, 'STATUS', 'MODE') ? 'PAUSED' : 'EMPTY' };
}
