import { RefusalError } from '../../domain/error.ts';
import { type Load, loadOf, type ScaleTrigger } from '../../domain/scaling.ts';
import type { Repository } from '../ports/repository.ts';

/** How much there is to do just now. Throws the refusal of a queue that is not there. */
export async function queueLoad(
  { repository }: { readonly repository: Pick<Repository, 'queueStats'> },
  trigger: ScaleTrigger,
): Promise<Load> {
  const { namespace, name } = trigger.queue;
  const stats = await repository.queueStats(trigger.queue);
  if (stats === null) throw new RefusalError({ kind: 'queue_not_found', namespace, queue: name });
  return loadOf(stats, trigger);
}
