import { RefusalError } from '../../domain/error.ts';
import type { QueueStats } from '../../domain/queue-stats.ts';
import type { QueueName } from '../../domain/queue.ts';
import { endingOf } from '../ending.ts';
import type { Repository } from '../ports/repository.ts';
import { aborted, firstOf } from '../wait.ts';
import { getQueueStats } from './get-queue-stats.ts';

export interface WatchQueueStatsParts {
  readonly repository: Pick<Repository, 'queueStats'>;
  /** Aborts when the stream is to end in order. */
  readonly draining: AbortSignal;
}

export interface WatchQueueStats {
  readonly name: QueueName;
  /** Between two looks; longer where the reader takes longer. */
  readonly intervalMs: number;
}

/** At once, then each interval after the reader has taken the last: who reads slowly is told less often, and nothing old. */
export async function* watchQueueStats(
  { repository, draining }: WatchQueueStatsParts,
  { name, intervalMs }: WatchQueueStats,
  signal: AbortSignal,
): AsyncGenerator<QueueStats> {
  while (!signal.aborted) {
    if (draining.aborted) throw new RefusalError({ kind: endingOf(draining) });
    using wait = firstOf([signal, draining], intervalMs);
    const stats = await getQueueStats({ repository }, name);
    if (!stats.ok) throw new RefusalError(stats.refusal);
    yield stats.value;
    await aborted(wait.signal);
  }
}
