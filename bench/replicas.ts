import type { BenchProcess } from './bench-process.ts';

/** Replicas of the service over one database: so many as are wanted run, the others do not. */
export class Replicas {
  readonly #start: (number: number) => Promise<BenchProcess>;
  readonly #running: BenchProcess[] = [];

  constructor(start: (number: number) => Promise<BenchProcess>) {
    this.#start = start;
  }

  get running(): readonly BenchProcess[] {
    return this.#running;
  }

  async set(count: number): Promise<void> {
    while (this.#running.length < count) this.#running.push(await this.#start(this.#running.length + 1));
    for (const left of this.#running.splice(count)) await left.stop();
  }
}
