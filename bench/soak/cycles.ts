import type { Route } from '../route.ts';

const CLAIM_WAIT_MS = 5_000;

/** Callers that each send a batch in, take one out and settle it, again and again, and what they did since it was looked at last. */
export class Cycles {
  readonly #route: Route;
  readonly #ending: AbortSignal;
  #jobs = 0;
  #claimsMs: number[] = [];
  /** Resolves when all have ended after `ending`, rejects when a call failed. */
  readonly ended: Promise<unknown>;

  constructor(route: Route, callers: number, ending: AbortSignal) {
    this.#route = route;
    this.#ending = ending;
    this.ended = Promise.all(Array.from({ length: callers }, () => this.#cycle()));
  }

  /** Jobs that were done, and how long each claim took, rising. */
  take(): { readonly jobs: number; readonly claimsMs: readonly number[] } {
    const taken = { jobs: this.#jobs, claimsMs: this.#claimsMs.toSorted((a, b) => a - b) };
    this.#jobs = 0;
    this.#claimsMs = [];
    return taken;
  }

  async #cycle(): Promise<void> {
    while (!this.#ending.aborted) {
      await this.#route.enqueue();
      const startedAt = performance.now();
      const tokens = await this.#route.claim(CLAIM_WAIT_MS);
      this.#claimsMs.push(performance.now() - startedAt);
      if (tokens.length > 0) await this.#route.settle(tokens);
      this.#jobs += tokens.length;
    }
  }
}
