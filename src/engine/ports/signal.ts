/** Wakes everybody who waits at that moment; who comes later waits for the next. */
export class Signal {
  readonly #waiting = new Set<() => void>();

  fire(): void {
    const woken = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of woken) wake();
  }

  /** Resolves at the next `fire`, when `signal` aborts or after `forMs`, whichever is first; leaves nothing behind. */
  wait(signal: AbortSignal, forMs: number | null = null): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        if (timer !== null) clearTimeout(timer);
        resolve();
      };
      const timer = forMs === null ? null : setTimeout(wake, forMs);
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }
}
