import type { Result } from '../../domain/error.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { Pruned, PruneItem } from '../ports/queues.ts';
import type { Repository } from '../ports/repository.ts';
import type { QueueDirectory } from '../queue-directory.ts';
import { findQueue } from './get-queue.ts';

interface PruneParts {
  readonly directory: QueueDirectory;
  readonly repository: Pick<Repository, 'databaseTime'>;
  readonly lane: GroupCommit<PruneItem, Result<Pruned>>;
}

/** One call removes a bounded number of jobs. A cutoff in the future would also be about jobs that are not over yet. */
export async function prune({ directory, repository, lane }: PruneParts, item: PruneItem): Promise<Result<Pruned>> {
  const { namespace, queue, finishedBefore } = item;
  const found = queue === null ? null : await findQueue(directory, { namespace, queue });
  if (found !== null && !found.ok) return found;
  if (finishedBefore > (await repository.databaseTime())) {
    const violations = [{ field: 'finished_before', description: 'must not lie in the future' }];
    return { ok: false, refusal: { kind: 'invalid_field', violations } };
  }
  return await lane.submit(item);
}
