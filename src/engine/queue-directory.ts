import { queueKey, type Queue, type QueueName } from '../domain/queue.ts';
import type { Repository } from './ports/repository.ts';

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
    const unknown = this.#unknown(names);
    if (unknown.length > 0) for (const queue of await this.#repository.resolveQueues(unknown)) if (queue !== null) this.#remember(queue);
    return names.map((name) => this.#known.get(queueKey(name)) ?? null);
  }

  /** Positional; makes those that are not there. */
  async ensure(names: readonly QueueName[]): Promise<readonly Queue[]> {
    const unknown = this.#unknown(names);
    const made = unknown.length === 0 ? [] : await this.#repository.createQueues(unknown);
    const fresh = new Map(made.map((queue) => [queueKey(queue), queue]));
    const queues = names.map((name) => fresh.get(queueKey(name)) ?? this.#known.get(queueKey(name)));
    made.forEach((queue) => this.#remember(queue));
    return queues.map((queue) => {
      if (queue === undefined) throw new Error('a queue that was made is not known');
      return queue;
    });
  }

  /** Another history of the database has other queues. */
  clear(): void {
    this.#known.clear();
  }

  #unknown(names: readonly QueueName[]): readonly QueueName[] {
    const wanted = new Map(names.map((name) => [queueKey(name), name]));
    return [...wanted.values()].filter((name) => !this.#known.has(queueKey(name)));
  }

  #remember(queue: Queue): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(queueKey(queue), queue);
  }
}
