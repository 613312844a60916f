import type { Result } from '../../domain/error.ts';
import type { Job } from '../../domain/job.ts';
import type { ConfiguredQueue, Queue } from '../../domain/queue.ts';
import type { Repository } from '../ports/repository.ts';
import type { QueueDirectory } from '../queue-directory.ts';

interface QueueQuery {
  readonly namespace: string;
  readonly queue: string;
}

/** As it is configured just now. */
export async function getQueue(
  { repository }: { readonly repository: Pick<Repository, 'configuredQueue'> },
  { namespace, queue }: QueueQuery,
): Promise<Result<ConfiguredQueue>> {
  const found = await repository.configuredQueue({ namespace, name: queue });
  return found === null ? { ok: false, refusal: { kind: 'queue_not_found', namespace, queue } } : { ok: true, value: found };
}

/** How statements name it. */
export async function findQueue(directory: QueueDirectory, { namespace, queue }: QueueQuery): Promise<Result<Queue>> {
  const [found] = await directory.find([{ namespace, name: queue }]);
  return found ? { ok: true, value: found } : { ok: false, refusal: { kind: 'queue_not_found', namespace, queue } };
}

/** What would be claimed next, in dispatch order; claims nothing. */
export async function peekQueue(
  { directory, repository }: { readonly directory: QueueDirectory; readonly repository: Pick<Repository, 'peekQueue'> },
  query: QueueQuery & { readonly pageSize: number; readonly types?: readonly string[] },
): Promise<Result<readonly Job[]>> {
  return directory.inCurrentHistory(async () => {
    const found = await findQueue(directory, query);
    return found.ok ? { ok: true, value: await repository.peekQueue(found.value, query.pageSize, query.types) } : found;
  });
}
