import type { Job, JobId } from '../domain/job.ts';
import type { Aftermath } from './aftermath.ts';
import { type CommitShape, GroupCommit } from './group-commit.ts';
import { enqueueBytes } from './jobs/enqueue.ts';
import type {
  AckItem,
  Applied,
  AtomicBatch,
  EnqueueItem,
  EnqueueOutcome,
  FailItem,
  FailOutcome,
  HeartbeatItem,
  HeartbeatOutcome,
  LeaseLost,
  ReleaseItem,
  Repository,
  SettleItem,
  SettleOutcome,
} from './ports/repository.ts';

/** One lane for each operation: every mutation goes through one, also a single unary one. */
export interface Commits {
  readonly enqueues: GroupCommit<EnqueueItem, EnqueueOutcome>;
  /** All-or-none batches: each is a commit of its own. */
  readonly atomicEnqueues: GroupCommit<AtomicBatch, readonly EnqueueOutcome[]>;
  readonly starts: GroupCommit<SettleItem, Applied | LeaseLost>;
  readonly heartbeats: GroupCommit<HeartbeatItem, HeartbeatOutcome>;
  readonly acks: GroupCommit<AckItem, SettleOutcome>;
  readonly fails: GroupCommit<FailItem, FailOutcome>;
  readonly releases: GroupCommit<ReleaseItem, SettleOutcome>;
  /** Reads gather in the same way: a thousand woken waits are two statements. */
  readonly reads: GroupCommit<JobId, Job | null>;
}

/** Tokens name no namespace: their holders are one tenant. */
const byToken = { tenantOf: () => '', bytesOf: () => 0 };

/** Each job may carry a result of a mebibyte, and nobody knows before it is read. */
const MAX_READS = 128;

/** A `shape` goes for every operation, in place of its own. */
export function createCommits(repository: Repository, aftermath: Aftermath, shape: CommitShape = {}): Commits {
  /** Wakes whom a commit concerns before its callers are answered. */
  const telling =
    <Item, Outcome extends { readonly kind: string; readonly job?: Job }>(
      commit: (items: readonly Item[]) => Promise<readonly Outcome[]>,
    ) =>
    async (items: readonly Item[]): Promise<readonly Outcome[]> => {
      const outcomes = await commit(items);
      aftermath.ofSettlement(outcomes);
      return outcomes;
    };
  return {
    enqueues: new GroupCommit({
      name: 'enqueue',
      commit: async (items) => {
        const outcomes = await repository.enqueueMany(items);
        aftermath.ofEnqueue(outcomes);
        return outcomes;
      },
      bytesOf: enqueueBytes,
      tenantOf: ({ queue }) => queue.namespace,
      ...shape,
    }),
    atomicEnqueues: new GroupCommit<AtomicBatch, readonly EnqueueOutcome[]>({
      name: 'atomic enqueue',
      maxItems: 1,
      commit: (batches) => Promise.all(batches.map(({ items, refuse }) => repository.enqueueAtomic(items, refuse))),
      bytesOf: ({ items }) => items.reduce((sum, item) => sum + enqueueBytes(item), 0),
      tenantOf: ({ items }) => items[0]?.queue.namespace ?? '',
      ...shape,
    }),
    starts: new GroupCommit({ ...byToken, name: 'start', commit: telling(repository.startMany), ...shape }),
    heartbeats: new GroupCommit<HeartbeatItem, HeartbeatOutcome>({
      ...byToken,
      name: 'heartbeat',
      commit: repository.heartbeatMany,
      bytesOf: ({ checkpoint }) => checkpoint?.byteLength ?? 0,
      ...shape,
    }),
    acks: new GroupCommit<AckItem, SettleOutcome>({
      ...byToken,
      name: 'ack',
      commit: telling(repository.ackMany),
      bytesOf: ({ result }) => result.byteLength,
      ...shape,
    }),
    fails: new GroupCommit<FailItem, FailOutcome>({
      ...byToken,
      name: 'fail',
      commit: telling(repository.failMany),
      bytesOf: ({ failure }) => failure.message.length + failure.details.byteLength,
      ...shape,
    }),
    releases: new GroupCommit({ ...byToken, name: 'release', commit: telling(repository.releaseMany), ...shape }),
    reads: new GroupCommit({ ...byToken, name: 'get-job', commit: repository.getJobs, maxItems: MAX_READS, ...shape }),
  };
}

/** Resolves when nothing waits for a commit. */
export async function idle(commits: Commits): Promise<void> {
  await Promise.all(Object.values(commits).map((commit: { idle(): Promise<void> }) => commit.idle()));
}
