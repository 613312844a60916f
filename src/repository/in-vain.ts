/** So long is not tried again what was tried in vain. */
const SPARED_MS = 1_000;
/** Past these the oldest is forgotten, and tried. */
const MAX_REMEMBERED = 10_000;

/** What was tried in vain lately, by key. A hint that spares a statement: nothing is decided by it. */
export class InVain<Key> {
  readonly #until = new Map<Key, number>();

  has(key: Key): boolean {
    const until = this.#until.get(key);
    return until !== undefined && performance.now() < until;
  }

  add(key: Key): void {
    this.#until.delete(key);
    const [oldest] = this.#until.keys();
    if (this.#until.size >= MAX_REMEMBERED && oldest !== undefined) this.#until.delete(oldest);
    this.#until.set(key, performance.now() + SPARED_MS);
  }
}
