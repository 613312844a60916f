import { RefusalError } from '../../domain/error.ts';
import type { JobEvent } from '../../domain/event.ts';
import type { JobId } from '../../domain/job.ts';
import { endingOf } from '../ending.ts';
import type { EventLog } from '../ports/event-log.ts';
import { firstOf, recheckMs, SIGN_OF_LIFE_MS, untilGrid } from '../wait.ts';
import type { FirstEvent, FirstEventQuery } from './first-events.ts';

export interface AwaitEvent {
  readonly namespace: string;
  readonly jobId: JobId;
  readonly type: string;
  readonly afterSequence: number;
}

export interface AwaitEventParts {
  readonly log: EventLog;
  /** Reads for many awaits together. */
  readonly firstEvents: { submit(query: FirstEventQuery): Promise<FirstEvent | null> };
  /** Aborts when the stream is to end in order. */
  readonly draining: AbortSignal;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface AwaitedEvent {
  /** Null: not yet. */
  readonly event: JobEvent | null;
  readonly latestSequence: number;
}

/** The first event of a type behind a sequence. Where it is not there yet, a message at once and every 30 s. The reads are the truth, the log only hints. */
export async function* awaitEvent(parts: AwaitEventParts, query: AwaitEvent, signal: AbortSignal): AsyncGenerator<AwaitedEvent> {
  // Watched before it is read: what is committed after the read is told.
  const watch = await parts.log.watch(query.jobId);
  using ended = firstOf([signal, parts.draining]);
  try {
    const search = await Search.begin(parts, query);
    let toldAt = -Infinity;
    let recheckAt = -Infinity;
    let isHinted = true;
    while (!signal.aborted) {
      if (parts.draining.aborted) throw new RefusalError({ kind: endingOf(parts.draining) });
      if (isHinted || performance.now() >= recheckAt) {
        const event = await search.next();
        if (event !== null) {
          yield { event, latestSequence: search.latestSequence };
          return;
        }
        if (!search.isThrough) continue;
        recheckAt = performance.now() + recheckMs(parts);
      }
      if (performance.now() >= toldAt + SIGN_OF_LIFE_MS) {
        yield { event: null, latestSequence: search.latestSequence };
        toldAt = performance.now();
      }
      using wait = firstOf([ended.signal], untilGrid(toldAt + SIGN_OF_LIFE_MS - performance.now()));
      isHinted = await watch.changed(wait.signal);
    }
  } finally {
    watch.close();
  }
}

/** Looks through a history as it grows; from the start again when the database begins another one. */
class Search {
  readonly #parts: AwaitEventParts;
  readonly #query: AwaitEvent;
  #epochId: string;
  /** Up to where the history has been looked through. */
  #looked: number;
  #isThrough = false;
  latestSequence = 0;

  private constructor(parts: AwaitEventParts, query: AwaitEvent, epochId: string) {
    [this.#parts, this.#query, this.#epochId] = [parts, query, epochId];
    this.#looked = query.afterSequence;
  }

  static async begin(parts: AwaitEventParts, query: AwaitEvent): Promise<Search> {
    return new Search(parts, query, (await parts.log.epoch()).id);
  }

  /** Whether the last read came to the end of the history. */
  get isThrough(): boolean {
    return this.#isThrough;
  }

  /** One read further. Null: it is not in what was read. */
  async next(): Promise<JobEvent | null> {
    const { namespace, jobId, type, afterSequence } = this.#query;
    const found = await this.#parts.firstEvents.submit({ jobId, type, after: this.#looked });
    const { id } = await this.#parts.log.epoch();
    const goesBack = found !== null && this.#looked > afterSequence && found.latestSequence < this.#looked;
    // Of another history nothing has been looked through, however far it goes; what was read may be of either.
    if (id !== this.#epochId || goesBack) {
      [this.#epochId, this.#looked, this.#isThrough] = [id, afterSequence, false];
      return null;
    }
    if (found?.namespace !== namespace) throw new RefusalError({ kind: 'job_not_found', jobId });
    this.latestSequence = found.latestSequence;
    this.#looked = Math.max(this.#looked, found.looked);
    this.#isThrough = found.looked >= found.latestSequence;
    return found.event;
  }
}
