import { queueKey, type Queue, type QueueName } from '../domain/queue.ts';
import type { Repository } from './ports/repository.ts';
import { StoreError } from './ports/store-error.ts';

/** Queues remembered; past it the oldest is forgotten and looked up again. */
const MAX_REMEMBERED = 10_000;

/** Queues by name. They spring into being at first enqueue and never go, so what was found once stays found. */
export class QueueDirectory {
  readonly #repository: Pick<Repository, 'resolveQueues' | 'createQueues'>;
  readonly #known = new Map<string, Queue>();

  constructor(repository: Pick<Repository, 'resolveQueues' | 'createQueues'>) {
    this.#repository = repository;
  }

  /** Positional; null for a queue nobody made yet. */
  async find(names: readonly QueueName[]): Promise<readonly (Queue | null)[]> {
    const queues = await this.#through(names, (unknown) => this.#repository.resolveQueues(unknown));
    return names.map((name) => queues.get(queueKey(name)) ?? null);
  }

  /** Positional; makes those that are not there. */
  async ensure(names: readonly QueueName[]): Promise<readonly Queue[]> {
    const queues = await this.#through(names, (unknown) => this.#repository.createQueues(unknown));
    return names.map((name) => {
      const queue = queues.get(queueKey(name));
      if (queue === undefined) throw new Error('a queue that was made is not known');
      return queue;
    });
  }

  /**
   * Work with what is remembered: where the database has another history by now, that is forgotten and the work done once
   * more. It must bear that, for what it began before may have been done.
   */
  async inCurrentHistory<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'other_history') throw error;
      this.clear();
      return work();
    }
  }

  /** Another history of the database has other queues. */
  clear(): void {
    this.#known.clear();
  }

  /** What is known, and what `load` knows of the rest; apart from what is remembered, which may be forgotten on the way. */
  async #through(
    names: readonly QueueName[],
    load: (unknown: readonly QueueName[]) => Promise<readonly (Queue | null)[]>,
  ): Promise<ReadonlyMap<string, Queue>> {
    const queues = new Map<string, Queue>();
    const unknown = new Map<string, QueueName>();
    for (const name of names) {
      const known = this.#known.get(queueKey(name));
      if (known === undefined) unknown.set(queueKey(name), name);
      else queues.set(queueKey(name), known);
    }
    if (unknown.size === 0) return queues;
    for (const queue of await load([...unknown.values()])) {
      if (queue === null) continue;
      queues.set(queueKey(queue), queue);
      this.#remember(queue);
    }
    return queues;
  }

  #remember(queue: Queue): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(queueKey(queue), queue);
  }
}
