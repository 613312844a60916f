import type { JobEvent } from '../domain/event.ts';
import type { JobId } from '../domain/job.ts';
import type { JobWatch } from '../engine/ports/event-log.ts';
import { Signal } from '../engine/ports/signal.ts';

/** Who watches which job. */
export class JobWatches {
  readonly #watches = new Map<JobId, Set<Watch>>();

  /** Jobs that are watched. */
  get size(): number {
    return this.#watches.size;
  }

  add(jobId: JobId, onClose: () => void): JobWatch {
    const watches = this.#watches.get(jobId) ?? new Set();
    const watch = new Watch(() => {
      watches.delete(watch);
      if (watches.size === 0 && this.#watches.get(jobId) === watches) this.#watches.delete(jobId);
      onClose();
    });
    this.#watches.set(jobId, watches.add(watch));
    return watch;
  }

  /** Wakes who watches a job of these. */
  mark(events: readonly JobEvent[]): void {
    for (const event of events) this.#watches.get(event.jobId)?.forEach((watch) => watch.mark());
  }

  markAll(): void {
    for (const watches of this.#watches.values()) watches.forEach((watch) => watch.mark());
  }
}

class Watch implements JobWatch {
  readonly #signal = new Signal();
  readonly #onClose: () => void;
  #marked = false;
  #open = true;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  mark(): void {
    this.#marked = true;
    this.#signal.fire();
  }

  async changed(signal: AbortSignal): Promise<void> {
    if (!this.#marked) await this.#signal.wait(signal);
    this.#marked = false;
  }

  close(): void {
    if (this.#open) this.#onClose();
    this.#open = false;
  }
}
