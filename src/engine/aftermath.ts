import type { JobEvent } from '../domain/event.ts';
import type { Job, JobState } from '../domain/job.ts';
import { queueKey, type QueueName } from '../domain/queue.ts';
import type { JobIdMint } from './jobs/mint-job-id.ts';
import type { EventLog } from './ports/event-log.ts';
import type { AppendOutcome } from './ports/events.ts';
import type { EnqueueOutcome } from './ports/repository.ts';
import type { UpkeepRound } from './ports/upkeep.ts';

export interface AftermathParts {
  readonly log: Pick<EventLog, 'committed' | 'committedAndTold'>;
  readonly mint: JobIdMint;
  /** Wakes the claims that wait for these queues. */
  readonly wake: (queues: readonly QueueName[]) => void;
  /** Of these queues there is more in flight, that nobody had to be woken for. */
  readonly grown: (queues: readonly QueueName[]) => void;
  /** Fewer jobs of these queues are in flight. */
  readonly freed: (queues: readonly QueueName[]) => void;
  /** A job is due in so many milliseconds. */
  readonly dueIn: (milliseconds: number) => void;
  /** A lease ends in so many milliseconds, before its time: its cancellation was asked for. */
  readonly leaseEndsIn: (milliseconds: number) => void;
}

/** Who is woken by what was committed here, or seen to be committed elsewhere. */
export class Aftermath {
  readonly #parts: AftermathParts;

  constructor(parts: AftermathParts) {
    this.#parts = parts;
  }

  ofEnqueue(outcomes: readonly EnqueueOutcome[]): void {
    this.ofChanged(outcomes.flatMap((outcome) => (outcome.kind === 'enqueued' ? [outcome.job] : [])));
  }

  /** Enqueued, and given to who waited in the same commit, which tells of the claim itself. */
  ofHandedOver(jobs: readonly Job[]): void {
    this.#parts.grown(distinct(jobs.map(({ namespace, queue }) => ({ namespace, name: queue }))));
  }

  ofSettlement(outcomes: readonly { readonly kind: string; readonly job?: Job }[]): void {
    this.ofChanged(outcomes.flatMap(({ kind, job }) => (kind === 'applied' && job !== undefined ? [job] : [])));
  }

  /** A claim that met the token of a READY job locked looks again. */
  ofAppend(outcomes: readonly AppendOutcome[]): void {
    const events = outcomes.flatMap((outcome) => (outcome.kind === 'appended' ? [outcome.event] : []));
    if (events.length === 0) return;
    this.#parts.log.committed();
    this.#wake(events);
  }

  /** Nobody waits for it but who reads the log. */
  ofClaim(): void {
    this.#parts.log.committedAndTold();
  }

  ofRound(round: UpkeepRound): void {
    this.#parts.mint.setDatabaseTime(round.databaseTime);
    if (round.count > 0) this.#parts.log.committed();
    this.#parts.wake(round.readyQueues);
  }

  /** Seen in the log, whichever replica wrote it. */
  ofEvents(events: readonly JobEvent[]): void {
    this.#wake(events);
  }

  /** Jobs that changed in one commit, as they are after it. */
  ofChanged(jobs: readonly Job[]): void {
    if (jobs.length === 0) return;
    // Of another job that moved in the same commit only the log tells: where a key's slot is free, and the copy of a job that failed.
    if (jobs.every(({ concurrencyKey, state }) => concurrencyKey === '' && state !== 'FAILED')) this.#parts.log.committedAndTold();
    else this.#parts.log.committed();
    this.#wake(jobs);
    const deadlines = jobs.flatMap(({ leaseExpiresAt, asked }) =>
      leaseExpiresAt !== null && asked !== null && asked.cancelDeadline !== null ? [asked.cancelDeadline / 1_000] : [],
    );
    if (deadlines.length > 0) this.#parts.leaseEndsIn(Math.max(0, Math.min(...deadlines) - this.#parts.mint.databaseTimeMs()));
    const dueMs = jobs.flatMap(({ state, runAt }) =>
      (state === 'SCHEDULED' || state === 'RETRY_WAIT') && runAt !== null ? [runAt / 1_000] : [],
    );
    if (dueMs.length > 0) this.#parts.dueIn(Math.max(0, Math.min(...dueMs) - this.#parts.mint.databaseTimeMs()));
  }

  /** READY is for whoever waits; what is neither waiting to be claimed nor claimed may have left a place. */
  #wake(changed: readonly Pick<Job, 'namespace' | 'queue' | 'state'>[]): void {
    const queuesIn = (isMeant: (state: JobState) => boolean) =>
      distinct(changed.filter(({ state }) => isMeant(state)).map(({ namespace, queue }) => ({ namespace, name: queue })));
    this.#parts.wake(queuesIn((state) => state === 'READY'));
    this.#parts.freed(queuesIn((state) => state !== 'READY' && state !== 'LEASED' && state !== 'RUNNING'));
  }
}

function distinct(names: readonly QueueName[]): readonly QueueName[] {
  return [...new Map(names.map((name) => [queueKey(name), name])).values()];
}
