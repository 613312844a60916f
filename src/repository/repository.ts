/** The engine's storage, over Postgres. One line an action: what it does stands in the file of that name. */
import type { Clock } from '../engine/ports/clock.ts';
import type { EnqueueOutcome, Repository } from '../engine/ports/repository.ts';
import type { WorkStore } from '../engine/ports/work.ts';
import { nowValue } from './clock.ts';
import type { Database, Run } from './database.ts';
import { appendMany } from './events/append.ts';
import { jobFacts } from './events/history.ts';
import { InVain } from './in-vain.ts';
import { KeyedCommits } from './keyed.ts';
import { KnownRecords } from './known-records.ts';
import { enqueueMany } from './jobs/enqueue-many.ts';
import { cancellingAll, operatePage, retryingAll } from './jobs/bulk.ts';
import { cancelling } from './jobs/cancel.ts';
import { completing } from './jobs/complete-externally.ts';
import { endOfLife, getJobs } from './jobs/get-jobs.ts';
import { getPayload } from './jobs/get-payload.ts';
import { listAttempts } from './jobs/list-attempts.ts';
import { listJobs } from './jobs/list-jobs.ts';
import { operate } from './jobs/operate.ts';
import { abandoning } from './jobs/request-abandon.ts';
import { resuming } from './jobs/resume.ts';
import { retrying } from './jobs/retry.ts';
import { updating } from './jobs/update.ts';
import { checkInvariants } from './queues/check-invariants.ts';
import { replayedJobs, retainedJobs } from './queues/verify-replay.ts';
import { signedJobs } from './queues/get-signature.ts';
import { listDeadLetters } from './queues/list-dead-letters.ts';
import { queueFigures } from './queues/figures.ts';
import { queueStatsReader } from './queues/get-queue-stats.ts';
import { peekQueue } from './queues/peek-queue.ts';
import { findReplayable, foreseeReplay, replayPage } from './queues/replay-dead-letters.ts';
import { listAudit } from './queues/audit.ts';
import { applyAction, putQueue } from './queues/configure.ts';
import { pruneJobs } from './queues/prune.ts';
import { configuredQueue, listQueues } from './queues/configured-queue.ts';
import { drainState } from './queues/drain-state.ts';
import { createQueues, resolveQueues } from './queues/resolve-queues.ts';
import { dropPartitions } from './upkeep/drop-partitions.ts';
import { sortByType } from './queues/sort-by-type.ts';
import { workedQueues } from './queues/worked-queues.ts';
import { databaseTime, ensurePartitions } from './upkeep/ensure-partitions.ts';
import { expireLeases } from './upkeep/expire-leases.ts';
import { foldJournal } from './upkeep/fold-journal.ts';
import { LeanTables } from './upkeep/lean-tables.ts';
import { DueLook } from './upkeep/next-due.ts';
import { promoteDue } from './upkeep/promote-due.ts';
import { sweepFairKeys } from './upkeep/sweep-fair-keys.ts';
import { pruneExpired } from './upkeep/prune.ts';
import { timeOut } from './upkeep/time-out.ts';
import { unblock, unblockKeys } from './upkeep/unblock.ts';
import { ackMany } from './workers/ack.ts';
import { claimer } from './workers/claimer.ts';
import { failMany } from './workers/fail.ts';
import { beatSessions } from './workers/beat-sessions.ts';
import { heartbeatMany } from './workers/heartbeat.ts';
import { dropLeases } from './workers/drop-leases.ts';
import { heldAttempts } from './workers/held-attempts.ts';
import { lookAtLeases } from './workers/look-at-leases.ts';
import { leasesOfRequest } from './workers/leases-of-request.ts';
import { releaseMany } from './workers/release.ts';
import { startMany } from './workers/start.ts';
import { suspendMany } from './workers/suspend.ts';

/** Jobs one round of upkeep moves: a commit of a few ten milliseconds. */
const UPKEEP_BATCH = 500;

/** Statements that one round folds. */
const FOLD_BATCH = 2_000;

export interface RepositoryParts {
  /** Short statements of the request path. */
  readonly hot: Database;
  /** Long reads, which may take whatever plan suits them. */
  readonly slow: Database;
  readonly upkeep: Database;
  /** Of vacuums, which take as long as they take. */
  readonly vacuum: Database;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly journalRetentionDays: number;
}

export function createRepository({ hot, slow, upkeep, vacuum, clock, random, journalRetentionDays }: RepositoryParts): Repository {
  const now = () => nowValue(clock);
  const keyed = new KeyedCommits((keys) => unblockKeys(hot, now(), keys));
  const lean = new LeanTables({ upkeep, vacuum });
  const due = new DueLook();
  const queueStats = queueStatsReader({ run: hot.run, slow: slow.run });
  return {
    resolveQueues: (names) => resolveQueues(hot.run, names),
    createQueues: (names) => createQueues(hot.run, names),
    ...hotPath(hot.run, now, { keyed, lean }),
    enqueueAtomic: (items, refuse) => keyed.each(enqueueAtomic(hot, now(), items, refuse)),
    getJobs: (ids) => getJobs(hot.run, ids),
    endOfLife: (id, life) => endOfLife(hot.run, id, life),
    getPayload: (id) => getPayload(hot.run, id),
    listJobs: (filter, pageSize, after) => listJobs(slow.run, filter, pageSize, after),
    listAttempts: (query) => listAttempts(hot.run, query),
    sortByType: (queues) => sortByType(slow, queues),
    leasesOfRequest: (namespace, workerId, requestId) => leasesOfRequest(hot.run, now(), namespace, workerId, requestId),
    startMany: (items) => startMany(hot.run, now(), items),
    heartbeatMany: (items) => heartbeatMany(hot.run, now(), items),
    heldAttempts: (tokens) => heldAttempts(hot.run, tokens),
    ...workStore(hot.run, now),
    failMany: (items) => keyed.each(failMany(hot.run, now(), items)),
    releaseMany: (items) => keyed.each(releaseMany(hot.run, now(), items)),
    suspendMany: (items) => keyed.each(suspendMany(hot.run, now(), items)),
    cancelMany: (items) => keyed.each(operate(hot, now(), items, cancelling)),
    updateMany: (items) => keyed.each(operate(hot, now(), items, updating)),
    retryMany: (items) => keyed.each(operate(hot, now(), items, retrying)),
    resumeMany: (items) => keyed.each(operate(hot, now(), items, resuming)),
    requestAbandonMany: (items) => keyed.each(operate(hot, now(), items, abandoning)),
    completeMany: (items) => keyed.each(operate(hot, now(), items, completing)),
    cancelPage: (page) => keyed.page(operatePage(hot, now(), page, cancellingAll)),
    retryPage: (page) => keyed.page(operatePage(hot, now(), page, retryingAll)),
    listDeadLetters: (filter, pageSize, after) => listDeadLetters(slow.run, filter, pageSize, after),
    findReplayable: (filter, pageSize, stretch) => findReplayable(slow.run, filter, pageSize, stretch),
    replayPage: (page) => keyed.page(replayPage(hot, now(), page)),
    foreseeReplay: (page) => foreseeReplay(slow.run, page),
    appendMany: (items) => appendMany(hot, now(), items),
    history: async (jobId, afterSequence, limit, wanted) =>
      (await jobFacts(hot.run, [{ jobId, after: afterSequence }], limit, wanted))[0] ?? null,
    histories: (asked, limit, wanted) => jobFacts(hot.run, asked, limit, wanted),
    signedJobs: (queue, limit, reduce) => signedJobs(slow, queue, limit, reduce),
    peekQueue: (queue, limit, types) => peekQueue(hot.run, now(), queue, limit, types),
    configuredQueue: (name) => configuredQueue(hot.run, name),
    listQueues: (namespace, pageSize, after) => listQueues(hot.run, namespace, pageSize, after),
    putQueue: (item) => putQueue(slow, now(), item),
    applyAction: (item) => applyAction(slow, now(), item),
    listAudit: (namespace, queue, pageSize, before) => listAudit(hot.run, namespace, queue, pageSize, before),
    pruneJobs: (item) => pruneJobs(slow, now(), item),
    drainState: (name) => drainState(hot.run, name),
    queueStats: (name) => queueStats(now(), name),
    checkInvariants: (namespace, pageSize, after) => checkInvariants(slow.run, namespace, pageSize, after),
    retainedJobs: (queue, limit, after) => retainedJobs(slow.run, queue, limit, after),
    replayedJobs: (ids, eventsEach) => replayedJobs(slow.run, ids, eventsEach),
    nextDue: () => due.look(upkeep.run, now()),
    promoteDue: () => promoteDue(upkeep.run, now(), UPKEEP_BATCH),
    expireLeases: () => expireLeases(upkeep.run, now(), UPKEEP_BATCH, () => 0.5 + random() / 2),
    timeOut: () => timeOut(upkeep.run, now(), UPKEEP_BATCH),
    unblock: () => unblock(upkeep, now(), UPKEEP_BATCH),
    sweepFairKeys: (after) => sweepFairKeys(upkeep, after, UPKEEP_BATCH),
    pruneExpired: () => pruneExpired({ upkeep, slow }, now(), UPKEEP_BATCH),
    dropPartitions: () => dropPartitions(upkeep.run, now(), journalRetentionDays),
    keepLean: () => lean.round(),
    foldJournal: () => foldJournal({ run: hot.run, slow: slow.run }, now(), FOLD_BATCH),
    ensurePartitions: () => ensurePartitions(upkeep.run, now()),
    queueFigures: (limit) => queueFigures(upkeep.run, now(), limit),
    databaseTime: () => databaseTime(hot.run, now()),
  };
}

/** What the common life of a job consists of, by lesser statements where they serve; they share what they remember. */
function hotPath(
  run: Run,
  now: () => string | null,
  { keyed, lean }: { readonly keyed: KeyedCommits; readonly lean: LeanTables },
): Pick<Repository, 'enqueueMany' | 'claim' | 'ackMany'> {
  const bounded = new InVain<number>();
  const records = new KnownRecords();
  const plain = { records, inVain: new InVain<'ack'>() };
  const claim = claimer(run, now, records);
  return {
    enqueueMany: (items) => keyed.each(enqueueMany(run, now(), items, { bounded })),
    claim: async (queues, slots, types, channel) => lean.claimed(queues, await claim(queues, slots, types, channel)),
    ackMany: (items) => keyed.each(ackMany(run, now(), items, plain)),
  };
}

function workStore(run: Run, now: () => string | null): WorkStore {
  return {
    lookAtLeases: (items) => lookAtLeases(run, now(), items),
    beatSessions: (beats) => beatSessions(run, now(), beats),
    dropLeases: (items) => dropLeases(run, now(), items),
    workedQueues: (namespace, names) => workedQueues(run, namespace, names),
  };
}

/** Undoes the transaction and carries what would have been answered. */
class Refused extends Error {
  readonly outcomes: readonly EnqueueOutcome[];

  constructor(outcomes: readonly EnqueueOutcome[]) {
    super('refused');
    this.outcomes = outcomes;
  }
}

async function enqueueAtomic(
  hot: Database,
  now: string | null,
  items: Parameters<Repository['enqueueAtomic']>[0],
  refuse: Parameters<Repository['enqueueAtomic']>[1],
): Promise<readonly EnqueueOutcome[]> {
  try {
    return await hot.transaction(async (run) => {
      const outcomes = await enqueueMany(run, now, items);
      if (refuse(outcomes)) throw new Refused(outcomes);
      return outcomes;
    });
  } catch (error) {
    if (error instanceof Refused) return error.outcomes;
    throw error;
  }
}
