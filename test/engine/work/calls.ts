/** A call that has been made and waits for the test to answer it. */
export interface Made<Asked, Answer> {
  readonly asked: Asked;
  answer(value: Answer): void;
  crash(error: unknown): void;
}

/** A part whose every call the test answers by hand, in whatever order. */
export class Calls<Asked, Answer> {
  readonly #made: Made<Asked, Answer>[] = [];
  readonly #waiting: ((made: Made<Asked, Answer>) => void)[] = [];

  readonly call = (asked: Asked): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const made = { asked, answer: resolve, crash: reject };
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#made.push(made);
      else waiting(made);
    });

  /** The next, in the order in which they were made. */
  next(): Promise<Made<Asked, Answer>> {
    const made = this.#made.shift();
    return made === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(made);
  }

  /** Calls that were made and not looked at. */
  get unseen(): number {
    return this.#made.length;
  }
}
