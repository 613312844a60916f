import type { JobEvent } from '../../src/domain/event.ts';
import type { JobId } from '../../src/domain/job.ts';
import type { Delivery, Engine, Subscribe } from '../../src/engine/engine.ts';

/** `(job, sequence)`: what tells one event from every other. */
export function keyOf({ jobId, sequence }: Pick<JobEvent, 'jobId' | 'sequence'>): string {
  return `${jobId}/${sequence}`;
}

const EVERYTHING = { kind: 'everything' } as const;
export const FROM_BEGINNING = { kind: 'from_beginning' } as const;
export const FROM_NOW = { kind: 'from_now' } as const;

export function query(namespace: string, partial: Partial<Subscribe> = {}): Subscribe {
  return { namespace, scope: EVERYTHING, types: [], start: FROM_BEGINNING, ...partial };
}

/** A subscription read by hand: nothing is drawn that the test does not ask for. */
export class Follower {
  readonly deliveries: Delivery[] = [];
  readonly #stream: AsyncGenerator<Delivery>;
  readonly #ended = new AbortController();

  constructor(engine: Engine, subscribe: Subscribe) {
    this.#stream = engine.events.subscribe(subscribe, this.#ended.signal);
  }

  get events(): readonly JobEvent[] {
    return this.deliveries.flatMap(({ events }) => events);
  }

  get keys(): readonly string[] {
    return this.events.map(keyOf);
  }

  get cursor(): string {
    return this.deliveries.at(-1)?.cursor ?? '';
  }

  /** The next message; null when the stream has ended. */
  async next(): Promise<Delivery | null> {
    const { value, done } = await this.#stream.next();
    if (done === true) return null;
    this.deliveries.push(value);
    return value;
  }

  async until(enough: (follower: this) => boolean): Promise<this> {
    while (!enough(this)) {
      if ((await this.next()) === null) throw new Error(`the stream ended after ${this.events.length} events`);
    }
    return this;
  }

  untilCount(count: number): Promise<this> {
    return this.until(({ events }) => events.length >= count);
  }

  untilJob(jobId: JobId): Promise<this> {
    return this.until(({ events }) => events.some((event) => event.jobId === jobId));
  }

  async untilEnd(): Promise<this> {
    while ((await this.next()) !== null);
    return this;
  }

  /** Ends it from the reader's side, also while `next` waits. */
  async leave(): Promise<void> {
    this.#ended.abort();
    await this.#stream.return(undefined);
  }
}
