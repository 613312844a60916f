/** The repository with one who counts what was done: by the outcomes, so that nothing is counted that was undone, refused or done before. */
import type { CountedEvent, JobObserver } from './ports/job-observer.ts';
import type { Job } from '../domain/job.ts';
import type { AbandonOutcome, CancelOutcome, CompleteItem, FailOutcome, Operated, Repository, SettleOutcome } from './ports/repository.ts';
import type { EndedLeases, EndedWaiting } from './ports/upkeep.ts';

export function watched(repository: Repository, jobs: JobObserver): Repository {
  return {
    ...repository,
    ...watchedEntries(repository, jobs),
    ...watchedHolders(repository, jobs),
    ...watchedOperations(repository, jobs),
    ...watchedRounds(repository, jobs),
  };
}

/** Tells the events of a batch, of each kind at once. */
function count<Outcome>(
  jobs: JobObserver,
  outcomes: readonly Outcome[],
  eventOf: (outcome: Outcome, at: number) => CountedEvent | null,
): void {
  const counts = new Map<CountedEvent, number>();
  outcomes.forEach((outcome, at) => {
    const event = eventOf(outcome, at);
    if (event !== null) counts.set(event, (counts.get(event) ?? 0) + 1);
  });
  for (const [event, many] of counts) jobs.onEvents(event, many);
}

function watchedEntries(
  repository: Repository,
  jobs: JobObserver,
): Pick<Repository, 'enqueueMany' | 'enqueueAtomic' | 'claim' | 'appendMany'> {
  return {
    enqueueMany: async (items) => {
      const outcomes = await repository.enqueueMany(items);
      count(jobs, outcomes, ({ kind }) => (kind === 'enqueued' ? 'enqueued' : null));
      return outcomes;
    },
    enqueueAtomic: async (items, refuse) => {
      let undone = false;
      const outcomes = await repository.enqueueAtomic(items, (told) => (undone = refuse(told)));
      if (!undone) count(jobs, outcomes, ({ kind }) => (kind === 'enqueued' ? 'enqueued' : null));
      return outcomes;
    },
    claim: async (...asked) => {
      const given = await repository.claim(...asked);
      const claimed = given.jobs.flat();
      count(jobs, claimed, () => 'claimed');
      count(jobs, claimed, ({ job }) => (job.state === 'RUNNING' ? 'started' : null));
      return given;
    },
    appendMany: async (items) => {
      const outcomes = await repository.appendMany(items);
      count(jobs, outcomes, ({ kind }) => (kind === 'appended' ? 'custom' : null));
      return outcomes;
    },
  };
}

function watchedHolders(
  repository: Repository,
  jobs: JobObserver,
): Pick<Repository, 'startMany' | 'ackMany' | 'failMany' | 'releaseMany' | 'suspendMany'> {
  const backAs = (event: 'released' | 'suspended') => (outcome: SettleOutcome) => {
    if (outcome.kind !== 'applied') return null;
    return endedAs(outcome.job.state) ?? event;
  };
  const dead = (outcomes: readonly (SettleOutcome | FailOutcome)[]) => jobs.onDeadLetters(outcomes.filter(isDead).length);
  return {
    startMany: async (items) => {
      const outcomes = await repository.startMany(items);
      count(jobs, outcomes, ({ kind }) => (kind === 'applied' ? 'started' : null));
      return outcomes;
    },
    ackMany: async (items) => {
      const outcomes = await repository.ackMany(items);
      count(jobs, outcomes, ({ kind }) => (kind === 'applied' ? 'succeeded' : null));
      return outcomes;
    },
    failMany: async (items) => {
      const outcomes = await repository.failMany(items);
      count(jobs, outcomes, (outcome) => (outcome.kind === 'applied' ? failedAs(outcome.decision.kind) : null));
      dead(outcomes);
      return outcomes;
    },
    releaseMany: async (items) => {
      const outcomes = await repository.releaseMany(items);
      count(jobs, outcomes, backAs('released'));
      dead(outcomes);
      return outcomes;
    },
    suspendMany: async (items) => {
      const outcomes = await repository.suspendMany(items);
      count(jobs, outcomes, backAs('suspended'));
      dead(outcomes);
      return outcomes;
    },
  };
}

function isDead(outcome: SettleOutcome | FailOutcome): boolean {
  if (outcome.kind !== 'applied') return false;
  return 'decision' in outcome ? outcome.decision.kind === 'dead_lettered' : outcome.deadLettered === true;
}

function failedAs(decision: 'retry_scheduled' | 'dead_lettered' | 'failed' | 'cancelled'): CountedEvent {
  return decision === 'dead_lettered' ? 'failed' : decision;
}

/** A job that goes back ends instead where its cancellation was asked for, or where it went back too often. */
function endedAs(state: string): 'cancelled' | 'failed' | null {
  if (state === 'CANCELLED') return 'cancelled';
  return state === 'FAILED' ? 'failed' : null;
}

const COMPLETED = { success: 'succeeded', failure: 'failed', cancellation: 'cancelled' } as const satisfies Record<
  CompleteItem['completion']['kind'],
  CountedEvent
>;

type Operations = 'cancelMany' | 'updateMany' | 'retryMany' | 'resumeMany' | 'requestAbandonMany' | 'completeMany';
type Pages = 'cancelPage' | 'retryPage' | 'replayPage';

function watchedOperations(repository: Repository, jobs: JobObserver): Pick<Repository, Operations | Pages> {
  const each =
    <Item, Outcome extends string>(
      operate: (items: readonly Item[]) => Promise<readonly Operated<Outcome>[]>,
      eventOf: (outcome: Outcome, item: Item | undefined) => CountedEvent | null,
    ) =>
    async (items: readonly Item[]): Promise<readonly Operated<Outcome>[]> => {
      const outcomes = await operate(items);
      // Who asks twice under one request id in one batch is answered twice with the one thing that was done.
      const isFirst = (done: Operated<Outcome>, at: number) => done.kind === 'applied' && outcomes.indexOf(done) === at;
      count(jobs, outcomes, (done, at) => (done.kind === 'applied' && isFirst(done, at) ? eventOf(done.outcome, items[at]) : null));
      const dead = outcomes.filter((done, at) => isFirst(done, at) && done.kind === 'applied' && done.deadLettered === true);
      jobs.onDeadLetters(dead.length);
      return outcomes;
    };
  const page =
    <Asked, Done extends { readonly changed: readonly Job[] }>(
      operate: (page: Asked) => Promise<Done>,
      eventOf: (job: Job) => CountedEvent,
    ) =>
    async (asked: Asked): Promise<Done> => {
      const done = await operate(asked);
      count(jobs, done.changed, eventOf);
      return done;
    };
  return {
    cancelMany: each(repository.cancelMany, (outcome) => OPERATED[outcome]),
    updateMany: each(repository.updateMany, () => 'updated'),
    retryMany: each(repository.retryMany, () => 'retried'),
    resumeMany: each(repository.resumeMany, () => 'resumed'),
    requestAbandonMany: each(repository.requestAbandonMany, (outcome) => OPERATED[outcome]),
    completeMany: each(repository.completeMany, (_, item) => (item === undefined ? null : COMPLETED[item.completion.kind])),
    cancelPage: page(repository.cancelPage, ({ state }) => (state === 'CANCELLED' ? 'cancelled' : 'cancel_requested')),
    retryPage: page(repository.retryPage, () => 'retried'),
    replayPage: page(repository.replayPage, () => 'retried'),
  };
}

const OPERATED = {
  CANCELLED: 'cancelled',
  CANCEL_REQUESTED: 'cancel_requested',
  ABANDONED: 'abandoned',
  ABANDON_REQUESTED: 'abandon_requested',
  ALREADY_TERMINAL: null,
} as const satisfies Record<CancelOutcome | AbandonOutcome, CountedEvent | null>;

function watchedRounds(repository: Repository, jobs: JobObserver): Pick<Repository, 'expireLeases' | 'timeOut' | 'pruneExpired'> {
  return {
    expireLeases: async () => {
      const round = await repository.expireLeases();
      countEnded(jobs, round);
      return round;
    },
    timeOut: async () => {
      const round = await repository.timeOut();
      countTimedOut(jobs, round);
      return round;
    },
    pruneExpired: async () => {
      const round = await repository.pruneExpired();
      jobs.onPruned(round.count);
      return round;
    },
  };
}

/** Each lease that ended is a try that ended: by another try, or by the end of its life. */
function countEnded(jobs: JobObserver, { count: all, timedOut, cancelled, abandoned, retried, deadLettered }: EndedLeases): void {
  jobs.onLeasesEnded('expired', all - timedOut - cancelled - abandoned);
  jobs.onLeasesEnded('timed_out', timedOut);
  jobs.onLeasesEnded('cancelled', cancelled);
  jobs.onLeasesEnded('abandoned', abandoned);
  jobs.onEvents('cancelled', cancelled);
  jobs.onEvents('abandoned', abandoned);
  jobs.onEvents('retry_scheduled', retried);
  jobs.onEvents('failed', all - cancelled - abandoned - retried);
  jobs.onDeadLetters(deadLettered);
}

function countTimedOut(jobs: JobObserver, { count: all, deadLettered }: EndedWaiting): void {
  jobs.onEvents('failed', all);
  jobs.onDeadLetters(deadLettered);
}
