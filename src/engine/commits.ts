import type { Result } from '../domain/error.ts';
import type { Job, JobId } from '../domain/job.ts';
import type { Aftermath } from './aftermath.ts';
import { type CommitShape, GroupCommit } from './group-commit.ts';
import { type FirstEvent, type FirstEventQuery, firstEvents } from './events/first-events.ts';
import { enqueueBytes } from './jobs/enqueue.ts';
import { enqueueAndHandOver, type HandOverParts } from './jobs/hand-over.ts';
import { MAX_WATCHES } from './ports/event-log.ts';
import type { AppendItem, AppendOutcome, History, HistoryQuery } from './ports/events.ts';
import type { ReplayOutcome, ReplayPage } from './ports/dead-letters.ts';
import type { Configured, Pruned, PruneItem } from './ports/queues.ts';
import type { DropItem, LeaseLook, SessionBeat, SessionBeaten } from './ports/work.ts';
import type {
  AbandonOutcome,
  AckItem,
  Applied,
  AtomicBatch,
  CancelOutcome,
  ChangeOutcome,
  CompleteItem,
  EnqueueItem,
  EnqueueOutcome,
  FailItem,
  FailOutcome,
  HeartbeatItem,
  LeaseLost,
  Operated,
  OperatedPage,
  OperatePage,
  ReasonItem,
  ReleaseItem,
  Repository,
  SettleOutcome,
  SuspendItem,
  UpdateItem,
} from './ports/repository.ts';
import type { HeartbeatOutcome, SettleItem } from './ports/leases.ts';

/** One lane for each operation: every mutation goes through one, also a single unary one. */
export interface Commits extends Reads {
  readonly enqueues: GroupCommit<EnqueueItem, EnqueueOutcome>;
  /** All-or-none batches: each is a commit of its own. */
  readonly atomicEnqueues: GroupCommit<AtomicBatch, readonly EnqueueOutcome[]>;
  readonly starts: GroupCommit<SettleItem, Applied | LeaseLost>;
  readonly heartbeats: GroupCommit<HeartbeatItem, HeartbeatOutcome>;
  readonly acks: GroupCommit<AckItem, SettleOutcome>;
  readonly fails: GroupCommit<FailItem, FailOutcome>;
  readonly releases: GroupCommit<ReleaseItem, SettleOutcome>;
  readonly suspends: GroupCommit<SuspendItem, SettleOutcome>;
  readonly appends: GroupCommit<AppendItem, AppendOutcome>;
  /** Leases that their worker has forgotten. */
  readonly drops: GroupCommit<DropItem, boolean>;
  /** Each a session of its own, with all that it lists. */
  readonly beats: GroupCommit<SessionBeat, SessionBeaten>;
  readonly operations: Operations;
}

/** Reads gather in the same way. */
export interface Reads {
  readonly reads: GroupCommit<JobId, Job | null>;
  /** For those who await the end of jobs: a thousand woken waits are eight statements. Apart, so that they stand in nobody's way. */
  readonly awaitedReads: GroupCommit<JobId, Job | null>;
  /** The newest events of jobs, a few of each, for those who follow a job. */
  readonly histories: GroupCommit<HistoryQuery, History | null>;
  /** For those who await an event. */
  readonly firstEvents: GroupCommit<FirstEventQuery, FirstEvent | null>;
  /** For sessions that hear of their jobs. */
  readonly looks: GroupCommit<SettleItem, LeaseLook>;
}

/** What others than the holder do to a job: each kind in a lane. */
export interface Operations {
  readonly cancels: GroupCommit<ReasonItem, Operated<CancelOutcome>>;
  readonly updates: GroupCommit<UpdateItem, Operated<ChangeOutcome>>;
  readonly retries: GroupCommit<ReasonItem, Operated<ChangeOutcome>>;
  readonly resumes: GroupCommit<ReasonItem, Operated<ChangeOutcome>>;
  readonly abandons: GroupCommit<ReasonItem, Operated<AbandonOutcome>>;
  readonly completions: GroupCommit<CompleteItem, Operated<ChangeOutcome>>;
  /** Pages of a bulk call: each is a commit of its own. */
  readonly cancelPages: GroupCommit<OperatePage, OperatedPage<CancelOutcome>>;
  readonly retryPages: GroupCommit<OperatePage, OperatedPage<number>>;
  readonly replayPages: GroupCommit<ReplayPage, ReplayOutcome>;
  readonly prunes: GroupCommit<PruneItem, Result<Pruned>>;
  /** What operators do to queues, one after the other. */
  readonly configurations: GroupCommit<() => Promise<Configured>, Configured>;
}

/** Tokens name no namespace: their holders are one tenant. */
const byToken = { tenantOf: () => '', bytesOf: () => 0 };

/** What a listed lease takes in a statement: its job, fence and secret, and the session that lists it. */
const TOKEN_BYTES = 160;

/** Each job may carry a result of a mebibyte, and nobody knows before it is read. */
const MAX_READS = 128;

/** Histories of one read, and events of each: an event may carry failure details of 64 KiB. */
const MAX_HISTORIES = 64;
const EVENTS_OF_EACH = 8;

/** Each is answered with its job, result and all, as a read is. */
const MAX_OPERATIONS = 128;

/** Wakes whom a commit concerns before its callers are answered. */
type Telling = <Item, Outcome extends { readonly kind: string; readonly job?: Job }>(
  commit: (items: readonly Item[]) => Promise<readonly Outcome[]>,
) => (items: readonly Item[]) => Promise<readonly Outcome[]>;

/** The same for pages, each of which is its own commit. */
type TellingOfPages = <Page, Operated extends { readonly changed: readonly Job[] }>(
  commit: (page: Page) => Promise<Operated>,
) => (pages: readonly Page[]) => Promise<readonly Operated[]>;

function createOperations(repository: Repository, telling: Telling, tellingOfPages: TellingOfPages, shape: CommitShape): Operations {
  const byNamespace = {
    tenantOf: ({ namespace }: { readonly namespace: string }) => namespace,
    bytesOf: () => 0,
    maxItems: MAX_OPERATIONS,
  };
  const pageByPage = { ...byNamespace, maxItems: 1 };
  return {
    cancels: new GroupCommit({ ...byNamespace, name: 'cancel', commit: telling(repository.cancelMany), ...shape }),
    updates: new GroupCommit({ ...byNamespace, name: 'update', commit: telling(repository.updateMany), ...shape }),
    retries: new GroupCommit({ ...byNamespace, name: 'retry', commit: telling(repository.retryMany), ...shape }),
    resumes: new GroupCommit({ ...byNamespace, name: 'resume', commit: telling(repository.resumeMany), ...shape }),
    abandons: new GroupCommit({ ...byNamespace, name: 'abandon', commit: telling(repository.requestAbandonMany), ...shape }),
    completions: new GroupCommit({ ...byNamespace, name: 'complete externally', commit: telling(repository.completeMany), ...shape }),
    cancelPages: new GroupCommit({ ...pageByPage, name: 'cancel in bulk', commit: tellingOfPages(repository.cancelPage), ...shape }),
    retryPages: new GroupCommit({ ...pageByPage, name: 'retry in bulk', commit: tellingOfPages(repository.retryPage), ...shape }),
    replayPages: new GroupCommit({ ...pageByPage, name: 'replay dead letters', commit: tellingOfPages(repository.replayPage), ...shape }),
    prunes: new GroupCommit<PruneItem, Result<Pruned>>({
      ...pageByPage,
      name: 'prune',
      commit: (items) => Promise.all(items.map(repository.pruneJobs)),
      ...shape,
    }),
    configurations: new GroupCommit<() => Promise<Configured>, Configured>({
      ...byToken,
      name: 'configure',
      maxItems: 1,
      commit: (works) => Promise.all(works.map((work) => work())),
      observer: shape.observer,
    }),
  };
}

/** Many who wait for one job read it once. */
function eachOnce(getJobs: Repository['getJobs']): Repository['getJobs'] {
  return async (ids) => {
    const distinct = [...new Set(ids)];
    const jobs = await getJobs(distinct);
    const byId = new Map(distinct.map((id, index) => [id, jobs[index] ?? null]));
    return ids.map((id) => byId.get(id) ?? null);
  };
}

/** What reads for many together. */
function createReads({ getJobs, histories, lookAtLeases }: Repository, shape: CommitShape): Reads {
  const together = { ...byToken, maxItems: MAX_READS, readsOnly: true };
  // Each watch has one read waiting at the most, so that of those that stand none is turned away, though all wake at once.
  const awaiting = { ...together, maxWaitingItems: MAX_WATCHES };
  return {
    reads: new GroupCommit({ ...together, name: 'get-job', commit: eachOnce(getJobs), ...shape }),
    awaitedReads: new GroupCommit({ ...awaiting, name: 'await a job', commit: eachOnce(getJobs), ...shape }),
    histories: new GroupCommit<HistoryQuery, History | null>({
      ...awaiting,
      name: 'follow a job',
      commit: (asked) => histories(asked, EVENTS_OF_EACH),
      maxItems: MAX_HISTORIES,
      ...shape,
    }),
    firstEvents: new GroupCommit<FirstEventQuery, FirstEvent | null>({
      ...awaiting,
      name: 'await an event',
      commit: firstEvents(histories),
      ...shape,
    }),
    looks: new GroupCommit<SettleItem, LeaseLook>({ ...awaiting, name: 'look at leases', commit: lookAtLeases, ...shape }),
  };
}

/** What holders do with leases that stay. */
function createHolds(repository: Repository, shape: CommitShape): Pick<Commits, 'heartbeats' | 'beats' | 'drops'> {
  return {
    heartbeats: new GroupCommit<HeartbeatItem, HeartbeatOutcome>({
      ...byToken,
      name: 'heartbeat',
      commit: repository.heartbeatMany,
      bytesOf: ({ checkpoint }) => checkpoint?.byteLength ?? 0,
      ...shape,
    }),
    beats: new GroupCommit<SessionBeat, SessionBeaten>({
      ...byToken,
      name: 'beat sessions',
      commit: repository.beatSessions,
      bytesOf: ({ items }) => items.length * TOKEN_BYTES,
      ...shape,
    }),
    drops: new GroupCommit<DropItem, boolean>({ ...byToken, name: 'drop leases', commit: repository.dropLeases, ...shape }),
  };
}

export interface CommitsParts extends HandOverParts {
  readonly repository: Repository;
  readonly aftermath: Aftermath;
  /** Goes for every operation, in place of its own. */
  readonly shape?: CommitShape | undefined;
}

export function createCommits({ repository, aftermath, offer, shape = {} }: CommitsParts): Commits {
  const telling: Telling = (commit) => async (items) => {
    const outcomes = await commit(items);
    aftermath.ofSettlement(outcomes);
    return outcomes;
  };
  const tellingOfPages: TellingOfPages = (commit) => async (pages) => {
    const operated = await Promise.all(pages.map(commit));
    aftermath.ofChanged(operated.flatMap(({ changed }) => changed));
    return operated;
  };
  return {
    enqueues: new GroupCommit({
      name: 'enqueue',
      commit: (items) => enqueueAndHandOver({ repository, aftermath, offer }, items),
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
    suspends: new GroupCommit<SuspendItem, SettleOutcome>({
      ...byToken,
      name: 'suspend',
      commit: telling(repository.suspendMany),
      bytesOf: ({ checkpoint }) => checkpoint?.byteLength ?? 0,
      ...shape,
    }),
    ...createHolds(repository, shape),
    appends: createAppends(repository, aftermath, shape),
    operations: createOperations(repository, telling, tellingOfPages, shape),
    ...createReads(repository, shape),
  };
}

/** Events that one commit appends, and with it one row of the journal tells. */
const MAX_APPENDS = 128;

/** What an event takes besides its data. */
const APPEND_BYTES = 512;

function createAppends(repository: Repository, aftermath: Aftermath, shape: CommitShape): Commits['appends'] {
  return new GroupCommit<AppendItem, AppendOutcome>({
    name: 'append event',
    commit: async (items) => {
      const outcomes = await repository.appendMany(items);
      aftermath.ofAppend(outcomes);
      return outcomes;
    },
    bytesOf: ({ data }) => data.byteLength + APPEND_BYTES,
    tenantOf: ({ namespace }) => namespace,
    maxItems: MAX_APPENDS,
    ...shape,
  });
}

/** Resolves when nothing waits for a commit. */
export async function idle(commits: Commits): Promise<void> {
  const { operations, ...lanes } = commits;
  const all = [...Object.values(lanes), ...Object.values(operations)];
  await Promise.all(all.map((lane: { idle(): Promise<void> }) => lane.idle()));
}
