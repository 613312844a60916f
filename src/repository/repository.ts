/** The engine's storage, over Postgres. One line an action: what it does stands in the file of that name. */
import type { Clock } from '../engine/ports/clock.ts';
import type { EnqueueOutcome, Repository } from '../engine/ports/repository.ts';
import { nowValue } from './clock.ts';
import type { Database } from './database.ts';
import { jobFacts } from './events/history.ts';
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
import { signedJobs } from './queues/get-signature.ts';
import { listDeadLetters } from './queues/list-dead-letters.ts';
import { peekQueue } from './queues/peek-queue.ts';
import { findReplayable, foreseeReplay, replayPage } from './queues/replay-dead-letters.ts';
import { listAudit } from './queues/audit.ts';
import { applyAction, putQueue } from './queues/configure.ts';
import { configuredQueue, listQueues } from './queues/configured-queue.ts';
import { drainState } from './queues/drain-state.ts';
import { createQueues, resolveQueues } from './queues/resolve-queues.ts';
import { databaseTime, ensurePartitions } from './upkeep/ensure-partitions.ts';
import { expireLeases } from './upkeep/expire-leases.ts';
import { nextDue } from './upkeep/next-due.ts';
import { promoteDue } from './upkeep/promote-due.ts';
import { timeOut } from './upkeep/time-out.ts';
import { ackMany } from './workers/ack.ts';
import { claim } from './workers/claim.ts';
import { failMany } from './workers/fail.ts';
import { heartbeatMany } from './workers/heartbeat.ts';
import { leasesOfRequest } from './workers/leases-of-request.ts';
import { releaseMany } from './workers/release.ts';
import { startMany } from './workers/start.ts';
import { suspendMany } from './workers/suspend.ts';

/** Jobs one round of upkeep moves: a commit of a few ten milliseconds. */
const UPKEEP_BATCH = 500;

export interface RepositoryParts {
  /** Short statements of the request path. */
  readonly hot: Database;
  /** Long reads, which may take whatever plan suits them. */
  readonly slow: Database;
  readonly upkeep: Database;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export function createRepository({ hot, slow, upkeep, clock, random }: RepositoryParts): Repository {
  const now = () => nowValue(clock);
  return {
    resolveQueues: (names) => resolveQueues(hot.run, names),
    createQueues: (names) => createQueues(hot.run, names),
    enqueueMany: (items) => enqueueMany(hot.run, now(), items),
    enqueueAtomic: (items, refuse) => enqueueAtomic(hot, now(), items, refuse),
    getJobs: (ids) => getJobs(hot.run, ids),
    endOfLife: (id, life) => endOfLife(hot.run, id, life),
    getPayload: (id) => getPayload(hot.run, id),
    listJobs: (filter, pageSize, after) => listJobs(slow.run, filter, pageSize, after),
    listAttempts: (query) => listAttempts(hot.run, query),
    claim: (queues, slots) => claim(hot.run, now(), queues, slots),
    leasesOfRequest: (namespace, workerId, requestId) => leasesOfRequest(hot.run, now(), namespace, workerId, requestId),
    startMany: (items) => startMany(hot.run, now(), items),
    heartbeatMany: (items) => heartbeatMany(hot.run, now(), items),
    ackMany: (items) => ackMany(hot.run, now(), items),
    failMany: (items) => failMany(hot.run, now(), items),
    releaseMany: (items) => releaseMany(hot.run, now(), items),
    suspendMany: (items) => suspendMany(hot.run, now(), items),
    cancelMany: (items) => operate(hot, now(), items, cancelling),
    updateMany: (items) => operate(hot, now(), items, updating),
    retryMany: (items) => operate(hot, now(), items, retrying),
    resumeMany: (items) => operate(hot, now(), items, resuming),
    requestAbandonMany: (items) => operate(hot, now(), items, abandoning),
    completeMany: (items) => operate(hot, now(), items, completing),
    cancelPage: (page) => operatePage(hot, now(), page, cancellingAll),
    retryPage: (page) => operatePage(hot, now(), page, retryingAll),
    listDeadLetters: (filter, pageSize, after) => listDeadLetters(slow.run, filter, pageSize, after),
    findReplayable: (filter, pageSize, stretch) => findReplayable(slow.run, filter, pageSize, stretch),
    replayPage: (page) => replayPage(hot, now(), page),
    foreseeReplay: (page) => foreseeReplay(slow.run, page),
    history: async (jobId, afterSequence, limit) => (await jobFacts(hot.run, [jobId], afterSequence, limit))[0] ?? null,
    signedJobs: (queue, limit, reduce) => signedJobs(slow, queue, limit, reduce),
    peekQueue: (queue, limit) => peekQueue(hot.run, now(), queue, limit),
    configuredQueue: (name) => configuredQueue(hot.run, name),
    listQueues: (namespace, pageSize, after) => listQueues(hot.run, namespace, pageSize, after),
    putQueue: (item) => putQueue(slow, now(), item),
    applyAction: (item) => applyAction(slow, now(), item),
    listAudit: (namespace, queue, pageSize, before) => listAudit(hot.run, namespace, queue, pageSize, before),
    drainState: (name) => drainState(hot.run, name),
    checkInvariants: (namespace, pageSize, after) => checkInvariants(slow.run, namespace, pageSize, after),
    nextDue: () => nextDue(upkeep.run, now()),
    promoteDue: () => promoteDue(upkeep.run, now(), UPKEEP_BATCH),
    expireLeases: () => expireLeases(upkeep.run, now(), UPKEEP_BATCH, () => 0.5 + random() / 2),
    timeOut: () => timeOut(upkeep.run, now(), UPKEEP_BATCH),
    ensurePartitions: () => ensurePartitions(upkeep.run, now()),
    databaseTime: () => databaseTime(hot.run, now()),
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
