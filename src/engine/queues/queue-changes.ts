import { queueKey, type QueueName } from '../../domain/queue.ts';
import { Signal } from '../ports/signal.ts';

/** Tells that something may have happened to a queue: read it again. Level-triggered: nothing between two waits is missed. */
export interface QueueWatch {
  /** Resolves when anything has happened since the last time, or when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void>;
  [Symbol.dispose](): void;
}

/**
 * Wakes those who watch one queue, and nobody else: of a thousand queues one that is busy must not have all looked at. A watch is a
 * stream's, and those the server bounds.
 */
export class QueueChanges {
  /** Fires for a change of whatever queue. */
  readonly any = new Signal();
  readonly #watches = new Map<string, Set<Mark>>();

  fire(queues: readonly QueueName[]): void {
    if (queues.length > 0) this.any.fire();
    if (this.#watches.size === 0) return;
    for (const queue of queues) markAll(this.#watches.get(queueKey(queue)) ?? []);
  }

  fireAll(): void {
    this.any.fire();
    for (const marks of this.#watches.values()) markAll(marks);
  }

  watch(queue: QueueName): QueueWatch {
    const key = queueKey(queue);
    const mark = new Mark();
    const marks = this.#watches.get(key) ?? new Set();
    this.#watches.set(key, marks.add(mark));
    return {
      changed: (signal) => mark.set(signal),
      [Symbol.dispose]: () => {
        marks.delete(mark);
        if (marks.size === 0 && this.#watches.get(key) === marks) this.#watches.delete(key);
      },
    };
  }

  /** Queues that anybody watches. */
  get size(): number {
    return this.#watches.size;
  }
}

function markAll(marks: Iterable<Mark>): void {
  for (const mark of marks) mark.fire();
}

class Mark {
  #isSet = false;
  #wake: () => void = () => undefined;

  fire(): void {
    this.#isSet = true;
    this.#wake();
  }

  async set(signal: AbortSignal): Promise<void> {
    if (!this.#isSet && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    this.#isSet = false;
  }
}
