/** The sessions of this replica: opens them, and tells them what happens to their jobs and queues. */
import { randomUUID } from 'node:crypto';
import type { JobEvent } from '../../domain/event.ts';
import { RefusalError } from '../../domain/error.ts';
import type { JobId } from '../../domain/job.ts';
import type { EventLog } from '../ports/event-log.ts';
import type { WorkedQueue, WorkStore } from '../ports/work.ts';
import { endingOf } from '../ending.ts';
import { aborted, firstOf } from '../wait.ts';
import type { HeldIndex } from './held-jobs.ts';
import { Session, type SessionParts } from './session.ts';
import type { OpenWork, WorkSession } from './work.ts';

/** Sessions on one replica: some ten KiB each, and a parked claim. */
const MAX_SESSIONS = 10_000;
const RETRY_AFTER_MS = 1_000;
/** Of one that opens while operators change queues without end. */
const MAX_LOOKS = 10;

export interface SessionsParts extends SessionParts {
  readonly store: Pick<WorkStore, 'workedQueues'>;
  /** Asked for while there are sessions: what happens to their jobs must come in. */
  readonly log: Pick<EventLog, 'keepReading'>;
  /** Aborts when the service drains. */
  readonly draining: AbortSignal;
  readonly onFailure: (what: string, error: unknown) => void;
}

export class Sessions {
  readonly #parts: SessionsParts;
  readonly #open = new Map<Session, Promise<void>>();
  readonly #holders = new Map<JobId, Set<Session>>();
  #reading: { close: () => void } | null = null;
  /** How often an operator changed a queue. */
  #changes = 0;

  constructor(parts: SessionsParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Throws `mode_mismatch` where every queue answers `Claim` only. The session is over at the latest when `gone` aborts; with `ending` its
   * worker is told to come back.
   */
  async open(command: OpenWork, gone: AbortSignal, ending = this.#parts.draining): Promise<WorkSession> {
    const queues = await this.#queuesOf(command);
    if (queues.length === command.queues.length && queues.every(({ isPullOnly }) => isPullOnly)) {
      throw new RefusalError({ kind: 'mode_mismatch', queues: command.queues });
    }
    const ended = [ending, this.#parts.draining].find(({ aborted: isAborted }) => isAborted);
    if (ended !== undefined) throw new RefusalError({ kind: endingOf(ended) });
    if (this.#open.size >= MAX_SESSIONS) {
      throw new RefusalError({ kind: 'overloaded', what: 'sessions', retryAfterMs: RETRY_AFTER_MS });
    }
    const session = new Session(this.#parts, { open: command, queues, index: (holder) => this.#indexOf(holder) });
    this.#reading ??= this.#parts.log.keepReading();
    const over = session.run(randomUUID(), queues, gone).finally(() => this.#forget(session));
    this.#open.set(session, over);
    void endWith(ending, session, over);
    return session;
  }

  onEvents(events: readonly JobEvent[]): void {
    if (this.#holders.size === 0) return;
    for (const event of events) this.#holders.get(event.jobId)?.forEach((session) => session.onEvent(event));
  }

  /** Events were missed. */
  lookAgain(): void {
    for (const session of this.#open.keys()) session.lookAgain();
  }

  /** An operator changed a queue. */
  onQueues(): void {
    const change = (this.#changes += 1);
    const looks = new Map<string, Promise<readonly WorkedQueue[]>>();
    for (const session of this.#open.keys()) {
      const { namespace, queues } = session.queues;
      const key = JSON.stringify([namespace, queues]);
      const look = looks.get(key) ?? this.#parts.store.workedQueues(namespace, queues);
      looks.set(key, look);
      look.then(
        (found) => {
          // What a later look finds is newer.
          if (change === this.#changes) session.onQueues(found);
        },
        (error: unknown) => this.#parts.onFailure('look at the queues of a session', error),
      );
    }
  }

  /** Ends each with what its worker needs to come back. */
  async drain(): Promise<void> {
    for (const session of this.#open.keys()) void session.reconnect('shutting_down');
    await this.idle();
  }

  /** Once those that are there are over. */
  async idle(): Promise<void> {
    await Promise.all(this.#open.values());
  }

  /** As they are, with no change since: of one that comes while nobody has a session here, nobody would be told. */
  async #queuesOf({ namespace, queues }: OpenWork): Promise<readonly WorkedQueue[]> {
    for (let looks = 1; ; looks += 1) {
      const seen = this.#changes;
      const found = await this.#parts.store.workedQueues(namespace, queues);
      if (seen === this.#changes || looks === MAX_LOOKS) return found;
    }
  }

  #indexOf(session: Session): HeldIndex {
    return {
      add: (jobId) => void this.#holders.set(jobId, (this.#holders.get(jobId) ?? new Set()).add(session)),
      remove: (jobId) => {
        const holders = this.#holders.get(jobId);
        holders?.delete(session);
        if (holders?.size === 0) this.#holders.delete(jobId);
      },
    };
  }

  #forget(session: Session): void {
    this.#open.delete(session);
    if (this.#open.size > 0) return;
    this.#reading?.close();
    this.#reading = null;
  }
}

async function endWith(ending: AbortSignal, session: Session, over: Promise<void>): Promise<void> {
  using ended = firstOf([ending]);
  await Promise.race([aborted(ended.signal), over]);
  if (ending.aborted) await session.reconnect(endingOf(ending));
}
