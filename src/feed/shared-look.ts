/** One look at a time: who asks while one is under way shares the next, which begins after he asked. */
export class SharedLook<Seen> {
  readonly #look: () => Promise<Seen>;
  #current: Promise<Seen> | null = null;
  #next: Promise<Seen> | null = null;

  constructor(look: () => Promise<Seen>) {
    this.#look = look;
  }

  /** Whether one is still to begin: it sees all that was before now. */
  get hasNext(): boolean {
    return this.#next !== null;
  }

  /** Resolves once nothing is under way that was asked for before. */
  async idle(): Promise<void> {
    await Promise.allSettled([this.#current, this.#next]);
  }

  /** What a look saw that began after this call. */
  ask(): Promise<Seen> {
    // One that is still to begin, also when the one before it has just ended: two at once would see the same twice.
    if (this.#next !== null) return this.#next;
    if (this.#current === null) return this.#begin();
    this.#next = this.#current
      .catch(() => undefined)
      .then(() => {
        this.#next = null;
        return this.#begin();
      });
    return this.#next;
  }

  #begin(): Promise<Seen> {
    this.#current = this.#look().finally(() => {
      this.#current = null;
    });
    return this.#current;
  }
}
