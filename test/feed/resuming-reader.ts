import type { JobEvent } from '../../src/domain/event.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { Follower, keyOf, query } from './follower.ts';

/** How long a reader may take to what was committed: many polls of the hub. */
const DEADLINE_MS = 10_000;

/** What one subscriber has, who loses the connection again and again and goes on from any cursor it was ever given. */
export class ResumingReader {
  readonly #namespace: string;
  #events: readonly JobEvent[] = [];
  /** Each cursor with the number of events the reader had with it. */
  #cursors: readonly { readonly cursor: string; readonly events: number }[] = [];
  #follower: Follower;
  #reading: Promise<unknown>;

  constructor(engine: Engine, namespace: string) {
    this.#namespace = namespace;
    [this.#follower, this.#reading] = this.#read(engine, null);
  }

  get keys(): readonly string[] {
    return [...this.#events, ...this.#follower.events].map(keyOf);
  }

  /** Goes back to an earlier cursor, forgetting what came after it. */
  async resume(engine: Engine, at: number): Promise<void> {
    await this.leave();
    this.#keep();
    const from = this.#cursors[at % Math.max(1, this.#cursors.length)] ?? null;
    this.#events = this.#events.slice(0, from?.events ?? 0);
    this.#cursors = this.#cursors.filter((cursor) => cursor.events <= this.#events.length);
    [this.#follower, this.#reading] = this.#read(engine, from?.cursor ?? null);
  }

  async until(key: string): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS;
    while (!this.keys.includes(key)) {
      if (performance.now() > deadline) throw new Error(`after ${DEADLINE_MS} ms ${key} has not come`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async leave(): Promise<void> {
    await this.#follower.leave();
    await this.#reading;
  }

  /** Events that do not follow the one before them of their job. */
  sequencesOutOfOrder(): readonly string[] {
    const last = new Map<string, number>();
    return [...this.#events, ...this.#follower.events].flatMap((event) => {
      const before = last.get(event.jobId) ?? 0;
      last.set(event.jobId, event.sequence);
      return event.sequence === before + 1 ? [] : [`${keyOf(event)} after ${before}`];
    });
  }

  #read(engine: Engine, cursor: string | null): [Follower, Promise<unknown>] {
    const start = cursor === null ? { kind: 'from_beginning' as const } : { kind: 'cursor' as const, cursor };
    const follower = new Follower(engine, query(this.#namespace, { start }));
    return [follower, follower.untilEnd()];
  }

  #keep(): void {
    let count = this.#events.length;
    const cursors = this.#follower.deliveries.map(({ events, cursor }) => ({ cursor, events: (count += events.length) }));
    this.#cursors = [...this.#cursors, ...cursors];
    this.#events = [...this.#events, ...this.#follower.events];
  }
}
