import type { Result } from '../../domain/error.ts';
import type { QueueStats } from '../../domain/queue-stats.ts';
import type { QueueName } from '../../domain/queue.ts';
import type { Repository } from '../ports/repository.ts';

/** How a queue is doing just now. */
export async function getQueueStats(
  { repository }: { readonly repository: Pick<Repository, 'queueStats'> },
  name: QueueName,
): Promise<Result<QueueStats>> {
  const stats = await repository.queueStats(name);
  if (stats === null) return { ok: false, refusal: { kind: 'queue_not_found', namespace: name.namespace, queue: name.name } };
  return { ok: true, value: stats };
}
