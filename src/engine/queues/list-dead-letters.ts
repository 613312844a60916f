import type { Result } from '../../domain/error.ts';
import type { DeadLetterFilter, DeadLetterPage } from '../ports/dead-letters.ts';
import type { Repository } from '../ports/repository.ts';
import type { QueueDirectory } from '../queue-directory.ts';
import { findQueue } from './get-queue.ts';

export interface ListDeadLetters {
  readonly filter: DeadLetterFilter;
  readonly pageSize: number;
  /** Null: from the first. */
  readonly after: bigint | null;
}

export async function listDeadLetters(
  { directory, repository }: { readonly directory: QueueDirectory; readonly repository: Pick<Repository, 'listDeadLetters'> },
  { filter, pageSize, after }: ListDeadLetters,
): Promise<Result<DeadLetterPage>> {
  const { namespace, queue } = filter;
  const found = queue === null ? null : await findQueue(directory, { namespace, queue });
  if (found !== null && !found.ok) return found;
  return { ok: true, value: await repository.listDeadLetters(filter, pageSize, after) };
}
