/** The records are named, or found by a filter; a page of them is replayed in one commit, each as its job stands by then. A dry run only looks. */
import type { DeadLetterId } from '../../domain/dead-letter.ts';
import type { Result } from '../../domain/error.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { Replayable, ReplayedPage, ReplayOutcome, ReplayPage, ReplayStretch } from '../ports/dead-letters.ts';
import type { Repository } from '../ports/repository.ts';
import type { RequestKey } from '../ports/request-key.ts';
import type { QueueDirectory } from '../queue-directory.ts';
import { findQueue } from './get-queue.ts';

export interface ReplayDeadLetters {
  readonly namespace: string;
  /** Null: of any; not so with a filter. */
  readonly queue: string | null;
  readonly chosen:
    | { readonly kind: 'ids'; readonly ids: readonly DeadLetterId[] }
    | {
        readonly kind: 'filter';
        readonly type: string | null;
        readonly failureCode: string | null;
        readonly pageSize: number;
        /** Null: whatever there is by now. */
        readonly stretch: ReplayStretch | null;
      };
  readonly reason: string;
  readonly dryRun: boolean;
  readonly request: RequestKey | null;
}

interface ReplayParts {
  readonly directory: QueueDirectory;
  readonly repository: Pick<Repository, 'findReplayable' | 'foreseeReplay'>;
  readonly lane: GroupCommit<ReplayPage, ReplayOutcome>;
}

export async function replayDeadLetters(
  { directory, repository, lane }: ReplayParts,
  command: ReplayDeadLetters,
): Promise<Result<ReplayedPage>> {
  const { namespace, queue, reason, dryRun, request } = command;
  const found = queue === null ? null : await findQueue(directory, { namespace, queue });
  if (found !== null && !found.ok) return found;
  const page = { ...(await choose(repository, command)), namespace, queue, reason, request };
  if (dryRun) return { ok: true, value: await repository.foreseeReplay(page) };
  const { answer } = await lane.submit(page);
  return answer;
}

async function choose(
  repository: Pick<Repository, 'findReplayable'>,
  { namespace, queue, chosen }: ReplayDeadLetters,
): Promise<Replayable> {
  if (chosen.kind === 'ids') return { ids: chosen.ids, next: null };
  const { type, failureCode, pageSize, stretch } = chosen;
  return await repository.findReplayable({ namespace, queue, type, failureCode, jobId: null }, pageSize, stretch);
}
