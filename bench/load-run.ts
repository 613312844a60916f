import type { Mark } from './messages.ts';
import type { Turn } from './route.ts';

/** Times kept of one run: more than any measurement brings. */
const MAX_TIMES = 500_000;

/** Callers at work: each takes one turn after the other until they are stopped. */
export class LoadRun {
  #jobs = 0;
  #ranDry = false;
  #stopping = false;
  readonly #timesMs: number[] = [];
  /** How many times were known at each mark. */
  readonly #marks: number[] = [];
  readonly #callers: Promise<PromiseSettledResult<void>[]>;

  /** `turn`: of a caller, by its number. */
  constructor(callers: number, turn: (caller: number) => Promise<Turn>) {
    this.#callers = Promise.allSettled(Array.from({ length: callers }, (_, caller) => this.#work(() => turn(caller))));
  }

  async #work(turn: () => Promise<Turn>): Promise<void> {
    while (!this.#stopping) {
      const { jobs, tookMs } = await turn();
      this.#jobs += jobs;
      if (this.#timesMs.length < MAX_TIMES) this.#timesMs.push(tookMs);
      if (jobs > 0) continue;
      this.#ranDry = true;
      return;
    }
  }

  mark(): Mark {
    this.#marks.push(this.#timesMs.length);
    return { atMs: performance.now(), jobs: this.#jobs, ranDry: this.#ranDry };
  }

  /** The times of the turns that ended between the first mark and the second. Throws what a caller met. */
  async stop(): Promise<readonly number[]> {
    this.#stopping = true;
    const failed = (await this.#callers).find((caller) => caller.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return this.#timesMs.slice(this.#marks[0], this.#marks[1]);
  }
}
