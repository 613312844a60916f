import { Fifo } from '../fifo.ts';

interface Entry<Message> {
  readonly message: Message;
  /** Whether the reader came back for more, and so has taken this one. */
  readonly resolve: (isTaken: boolean) => void;
}

/** Messages of several writers to one reader, one at a time. Holds no more than its writers wait with. */
export class Outbox<Message> implements AsyncIterable<Message> {
  readonly #entries = new Fifo<Entry<Message>>();
  #wake: () => void = () => undefined;
  #isEnded = false;
  #failure: { readonly cause: unknown } | null = null;
  #isClosed = false;

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Resolves once the reader has taken the message, false where it never will. */
  put(message: Message): Promise<boolean> {
    if (this.#isEnded) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#entries.push({ message, resolve });
      this.#wake();
    });
  }

  /** Nothing comes behind what was put. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** The reader gets the cause, in place of what it has not taken. */
  fail(cause: unknown): void {
    this.#failure ??= { cause };
    this.end();
  }

  /** Nobody reads any more. */
  close(): void {
    this.#isClosed = true;
    this.end();
    for (let entry = this.#entries.first; entry !== undefined; entry = this.#entries.first) {
      this.#entries.take();
      entry.resolve(false);
    }
  }

  /** To be read once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    try {
      while (!this.#isClosed) {
        if (this.#failure !== null) throw this.#failure.cause;
        const entry = this.#entries.first;
        if (entry !== undefined) yield* this.#hand(entry);
        else if (this.#isEnded) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.close();
    }
  }

  async *#hand({ message, resolve }: Entry<Message>): AsyncGenerator<Message> {
    this.#entries.take();
    let isTaken = false;
    try {
      yield message;
      isTaken = true;
    } finally {
      resolve(isTaken);
    }
  }
}
