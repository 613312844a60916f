/** Puts the engine together: who commits, who waits, who is woken by whom. The rules are in the files it names. */
import type { JobEvent } from '../domain/event.ts';
import { parseLeaseToken } from '../domain/lease.ts';
import { Aftermath } from './aftermath.ts';
import { createCommits, idle, type Commits } from './commits.ts';
import type { Engine } from './engine.ts';
import { gated } from './gate.ts';
import type { CommitShape } from './group-commit.ts';
import { appendEvent } from './events/append-event.ts';
import { awaitEvent } from './events/await-event.ts';
import { followJob } from './events/follow-job.ts';
import { listEvents } from './events/list-events.ts';
import { SharedMessages } from './events/shared-messages.ts';
import { followLog } from './events/subscribe.ts';
import { awaitJobs } from './jobs/await-jobs.ts';
import { awaitTerminal } from './jobs/await-terminal.ts';
import { cancelJobs, retryJobs } from './jobs/bulk.ts';
import { enqueue, enqueueBatch } from './jobs/enqueue.ts';
import { getJob } from './jobs/get-job.ts';
import { listAttempts } from './jobs/list-attempts.ts';
import { operate } from './jobs/operate.ts';
import { JobIdMint } from './jobs/mint-job-id.ts';
import type { JobProgress } from '../domain/progress.ts';
import { ProgressBoard } from './progress/progress-board.ts';
import { ProgressReport } from './progress/progress-report.ts';
import type { EventLog } from './ports/event-log.ts';
import type { ClaimedJob, Repository } from './ports/repository.ts';
import type { UpkeepRound } from './ports/upkeep.ts';
import { QueueDirectory } from './queue-directory.ts';
import { applyAction, putQueue } from './queues/configure.ts';
import { getQueueStats } from './queues/get-queue-stats.ts';
import { getQueue, peekQueue } from './queues/get-queue.ts';
import { getSignature } from './queues/get-signature.ts';
import { listDeadLetters } from './queues/list-dead-letters.ts';
import { prune } from './queues/prune.ts';
import { QueueChanges } from './queues/queue-changes.ts';
import { replayDeadLetters } from './queues/replay-dead-letters.ts';
import { verifyReplay } from './queues/verify-replay.ts';
import { waitDrained } from './queues/wait-drained.ts';
import { watchQueueStats } from './queues/watch-queue-stats.ts';
import { scalerActions } from './scaler/scaler-actions.ts';
import { expectCrowd } from './wait.ts';
import { Upkeep } from './upkeep/upkeep.ts';
import { type EngineState, figuresLook, watchedBy, type Watchers } from './watchers.ts';
import { ClaimDesk } from './workers/claim-desk.ts';
import { deskClaims } from './workers/desk-claims.ts';
import { Sessions } from './work/sessions.ts';
import { heartbeat, start } from './workers/hold.ts';
import { ack, fail, release, settle, suspend, type SettleParts } from './workers/settle.ts';

export interface EngineParts {
  readonly repository: Repository;
  readonly log: EventLog;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Background work failed; it will be tried again. */
  readonly onFailure: (what: string, error: unknown) => void;
  /** Background work was done: the database answers. */
  readonly onHealthy: () => void;
  /** Tells the other replicas. Default: there is none. */
  readonly tellProgress?: (told: readonly JobProgress[]) => Promise<void>;
  /** Default: each operation gathers as far as suits it. */
  readonly commitShape?: CommitShape;
  /** Default: nobody. */
  readonly watchers?: Watchers | undefined;
}

export interface RunningEngine extends Engine {
  start(): Promise<void>;
  /** Ends upkeep; call after `drain`. */
  stop(): Promise<void>;
  /** What committed, on whatever replica: wakes those who wait here. */
  onEvents(events: readonly JobEvent[]): void;
  /** Events come in from here on; what was committed before is not among them. */
  onBegin(): void;
  /** An operator changed a queue, on whatever replica. */
  onQueues(): void;
  /** Another replica tells progress: `read` is called where somebody here follows any. */
  onProgress(read: () => readonly JobProgress[]): void;
  /** Another history of the database: what was remembered of the former is forgotten. */
  onNewEpoch(): void;
  state(): EngineState;
}

interface Core {
  readonly parts: EngineParts;
  readonly directory: QueueDirectory;
  readonly mint: JobIdMint;
  readonly aftermath: Aftermath;
  readonly commits: Commits;
  readonly settling: SettleParts;
  readonly desk: ClaimDesk;
  readonly sessions: Sessions;
  readonly upkeep: Upkeep;
  readonly board: ProgressBoard;
  readonly report: ProgressReport;
  /** Queues have changed, or what waits in them. */
  readonly changes: QueueChanges;
  readonly draining: AbortController;
}

export function createEngine(given: EngineParts): RunningEngine {
  const core = createCore({ ...given, repository: gated(watchedBy(given.watchers ?? {}, given.repository)) });
  expectCrowd(core.draining.signal);
  const { parts, commits, desk, sessions, upkeep, draining } = core;
  return {
    jobs: jobActions(core),
    workers: workerActions(core),
    events: eventActions(core),
    queues: queueActions(core),
    scaler: scalerActions({ ...parts, queueChanges: core.changes, draining: draining.signal }),
    databaseTime: () => parts.repository.databaseTime(),
    start: async () => {
      core.mint.setDatabaseTime(await parts.repository.databaseTime());
      await upkeep.start();
    },
    drain: async () => {
      draining.abort();
      desk.drain();
      await sessions.drain();
      await idle(commits);
    },
    stop: async () => {
      await sessions.idle();
      await upkeep.stop();
      await core.report.stop();
      await idle(commits);
    },
    onEvents: (events) => {
      core.aftermath.ofEvents(events);
      sessions.onEvents(events);
    },
    onBegin: () => {
      onQueues(core);
      sessions.lookAgain();
    },
    onQueues: () => onQueues(core),
    onProgress: (read) => {
      if (!core.board.isIdle) core.board.tell(read());
    },
    onNewEpoch: () => core.directory.clear(),
    state: () => ({ parkedClaims: desk.parked, sessions: sessions.size, databaseTimeMs: core.mint.databaseTimeMs() }),
  };
}

/** Whoever waits for a queue looks again: what stopped it may be over, and what it may give may be more. */
function onQueues({ desk, sessions, changes }: Core): void {
  desk.wakeAll();
  sessions.onQueues();
  changes.fireAll();
}

function createCore(parts: EngineParts): Core {
  const { repository, log, random, watchers = {} } = parts;
  const directory = new QueueDirectory(repository);
  const mint = new JobIdMint();
  const onRound = (round: UpkeepRound) => {
    parts.onHealthy();
    aftermath.ofRound(round);
  };
  const { onHealthy: onLook, onFailure } = parts;
  const upkeep = new Upkeep({ repository, onLook, onRound, onFailure, figures: figuresLook(watchers, repository) });
  const changes = new QueueChanges();
  const aftermath = new Aftermath({
    ...{ log, mint },
    wake: (queues) => {
      desk.wake(queues);
      changes.fire(queues);
    },
    grown: (queues) => changes.fire(queues),
    freed: (queues) => {
      desk.freed(queues);
      changes.fire(queues);
    },
    dueIn: (milliseconds) => upkeep.dueIn(milliseconds),
    leaseEndsIn: (milliseconds) => upkeep.leaseEndsIn(milliseconds),
  });
  const commits = createCommits({
    ...{ repository, aftermath, offer: (name, look) => desk.offer(name, look) },
    shape: { ...parts.commitShape, observer: watchers.commits },
  });
  const settling = { acks: commits.acks, fails: commits.fails, releases: commits.releases, suspends: commits.suspends, random };
  const giveBack = async (jobs: readonly ClaimedJob[]) => {
    const tokens = jobs.map(({ lease }) => parseLeaseToken(lease.leaseToken));
    try {
      await Promise.all(tokens.map((token) => release(settling, { token, delayMs: 0 })));
    } catch (error) {
      parts.onFailure('give back a claim', error);
    }
  };
  const claims = deskClaims({ repository, observer: watchers.commits, onKeyed: () => upkeep.unblockNow() });
  const desk: ClaimDesk = new ClaimDesk({
    ...{ repository: claims, directory, giveBack },
    onClaimed: () => aftermath.ofClaim(),
    keepHearing: () => log.keepHearing(),
  });
  const board = new ProgressBoard();
  const report = new ProgressReport({
    repository,
    here: (told) => board.tell(told),
    elsewhere: parts.tellProgress ?? (() => Promise.resolve()),
    onFailure: parts.onFailure,
  });
  const draining = new AbortController();
  const sessions = new Sessions({
    ...{ store: repository, log, draining: draining.signal, onFailure: parts.onFailure, giveBack },
    ...{ looks: commits.looks, beats: commits.beats, heartbeats: commits.heartbeats, drops: commits.drops },
    claim: (wanted, signal) => desk.claim(wanted, signal),
    settle: (settlements) => settle(settling, settlements),
    heartbeat: (beats, renew) => heartbeat({ renew, onProgress: report.add.bind(report) }, beats),
    onDropped: () => upkeep.leaseEndsIn(0),
  });
  return { parts, directory, mint, aftermath, commits, settling, desk, sessions, upkeep, board, report, changes, draining };
}

function jobActions({ parts: { repository, log, random }, directory, mint, aftermath, commits, board, draining }: Core): Engine['jobs'] {
  const onEnqueued = aftermath.ofEnqueue.bind(aftermath);
  const enqueuing = { commits: commits.enqueues, atomicCommits: commits.atomicEnqueues, directory, mint, onEnqueued };
  const awaiting = { log, repository, board, reads: commits.awaitedReads, draining: draining.signal, random };
  const { operations } = commits;
  return {
    enqueue: (command) => enqueue(enqueuing, command),
    enqueueBatch: (command) => enqueueBatch(enqueuing, command),
    getJob: (query) => getJob({ repository, reads: commits.reads }, query),
    listJobs: ({ filter, pageSize, after }) => repository.listJobs(filter, pageSize, after),
    listAttempts: (query) => listAttempts(repository, query),
    cancelJob: (command) => operate(operations.cancels, command),
    updateJob: (command) => operate(operations.updates, command),
    retryJob: (command) => operate(operations.retries, command),
    resumeJob: (command) => operate(operations.resumes, command),
    requestAbandon: (command) => operate(operations.abandons, command),
    completeExternally: (command) => operate(operations.completions, command),
    cancelJobs: (command) => cancelJobs({ repository, lane: operations.cancelPages }, command),
    retryJobs: (command) => retryJobs({ repository, lane: operations.retryPages }, command),
    awaitTerminal: (query, signal, ending) => awaitTerminal(endedBy(ending, awaiting), query, signal),
    awaitJobs: (query, signal, ending) => awaitJobs(endedBy(ending, awaiting), query, signal),
  };
}

function workerActions({ commits, settling, desk, sessions, report }: Core): Engine['workers'] {
  const beating = { renew: commits.heartbeats.submitMany.bind(commits.heartbeats), onProgress: report.add.bind(report) };
  return {
    claim: (command, signal) => desk.claim(command, signal),
    start: (token) => start(commits.starts, token),
    heartbeat: (beats) => heartbeat(beating, beats),
    ack: (command) => ack(settling, command),
    fail: (command) => fail(settling, command),
    release: (command) => release(settling, command),
    suspend: (command) => suspend(settling, command),
    settle: (settlements) => settle(settling, settlements),
    work: (open, signal, ending) => sessions.open(open, signal, ending),
  };
}

function eventActions({ parts: { repository, log, random }, board, commits, draining }: Core): Engine['events'] {
  const following = { log, repository, board, histories: commits.histories, draining: draining.signal, shared: new SharedMessages() };
  const awaiting = { log, firstEvents: commits.firstEvents, draining: draining.signal, random };
  return {
    subscribe: (query, signal, ending) => {
      const { scope } = query;
      const parts = endedBy(ending, following);
      return scope.kind === 'job' ? followJob(parts, query, scope.jobId, signal) : followLog(parts, query, signal);
    },
    listEvents: (query) => listEvents(repository, query),
    awaitEvent: (query, signal, ending) => awaitEvent(endedBy(ending, awaiting), query, signal),
    appendEvent: (command) => appendEvent(commits.appends, command),
  };
}

function queueActions(core: Core): Engine['queues'] {
  const { parts, directory, commits, upkeep, changes, draining } = core;
  const { repository, log } = parts;
  const waiting = { repository, log, changes: changes.any, draining: draining.signal };
  const configuring = { lane: commits.operations.configurations, repository, onChanged: () => onQueues(core) };
  return {
    putQueue: (item) => putQueue(configuring, item),
    getQueue: (query) => getQueue({ repository }, query),
    listQueues: ({ namespace, pageSize, after }) => repository.listQueues(namespace, pageSize, after),
    applyAction: (item) => applyAction(configuring, item),
    listAudit: ({ namespace, queue, pageSize, before }) => repository.listAudit(namespace, queue, pageSize, before),
    waitDrained: (name, signal, ending) => waitDrained(endedBy(ending, waiting), name, signal),
    getQueueStats: (name) => getQueueStats({ repository }, name),
    watchQueueStats: (query, signal, ending) => watchQueueStats(endedBy(ending, waiting), query, signal),
    peekQueue: (query) => peekQueue({ directory, repository }, query),
    checkInvariants: ({ namespace, pageSize, after }) => repository.checkInvariants(namespace, pageSize, after),
    verifyReplay: (query) => verifyReplay({ directory, repository }, query),
    listDeadLetters: (query) => listDeadLetters({ directory, repository }, query),
    replayDeadLetters: (command) => replayDeadLetters({ directory, repository, lane: commits.operations.replayPages }, command),
    getSignature: (query) => getSignature({ directory, repository }, query),
    prune: (item) => prune({ directory, repository, lane: commits.operations.prunes }, item),
    runUpkeep: () => upkeep.runNow(),
  };
}

function endedBy<Parts extends { readonly draining: AbortSignal }>(ending: AbortSignal | undefined, parts: Parts): Parts {
  return ending === undefined ? parts : { ...parts, draining: ending };
}
