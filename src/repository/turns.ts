/** Lets so many through at once; the others wait in turn, each for a limited time. */
export class Turns {
  readonly #limitMs: number;
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor({ atOnce, limitMs }: { readonly atOnce: number; readonly limitMs: number }) {
    this.#free = atOnce;
    this.#limitMs = limitMs;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves when it is the caller's turn, who then owes a `release`; with false when the time is up, and nothing is owed. */
  async take(): Promise<boolean> {
    if (this.#free > 0) {
      this.#free -= 1;
      return true;
    }
    return await new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(enter);
        resolve(false);
      }, this.#limitMs);
      const enter = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#waiting.add(enter);
    });
  }

  /** Whoever is let in takes the place of the one who leaves. */
  release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
