import type { JobId } from '../../domain/job.ts';
import { isOlder, type Told } from '../../domain/progress.ts';

/** The newest of each job, of the jobs that were told last: the one told longest ago goes when there are too many. */
export class LatestByJob<Item extends Told> {
  readonly #limit: number;
  readonly #items = new Map<JobId, Item>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.size;
  }

  /** False where a newer one of its job is there: then nothing changes. */
  put(item: Item): boolean {
    const before = this.#items.get(item.jobId);
    if (before !== undefined && isOlder(item, before)) return false;
    this.#items.delete(item.jobId);
    this.#items.set(item.jobId, item);
    if (this.#items.size > this.#limit) this.#dropOldest();
    return true;
  }

  /** Takes out up to `count`, what was told first before the others. */
  take(count: number): Item[] {
    const taken: Item[] = [];
    for (const [jobId, item] of this.#items) {
      if (taken.length === count) break;
      this.#items.delete(jobId);
      taken.push(item);
    }
    return taken;
  }

  clear(): void {
    this.#items.clear();
  }

  #dropOldest(): void {
    const [oldest] = this.#items.keys();
    if (oldest !== undefined) this.#items.delete(oldest);
  }
}
