import { isTerminal, type JobId } from '../domain/job.ts';
import type { JobEvent } from '../domain/event.ts';
import { RefusalError } from '../domain/error.ts';
import { type JobsWatch, type JobWatch, MAX_WATCHES, type Watched } from '../engine/ports/event-log.ts';
import { Signal } from '../engine/ports/signal.ts';

const RETRY_AFTER_MS = 500;

/** One who is told which of the jobs it watches may have changed. */
interface Watcher {
  readonly watched: Watched;
  mark(jobId: JobId): void;
}

/** Who watches which job. What would pass `MAX_WATCHES` is refused, and changes nothing. */
export class JobWatches {
  readonly #watchers = new Map<JobId, Set<Watcher>>();
  #count = 0;

  /** Jobs that are watched. */
  get size(): number {
    return this.#watchers.size;
  }

  add(jobId: JobId, watched: Watched, onClose: () => void): JobWatch {
    this.#expectRoom(1);
    const watch = new Watch(watched, () => {
      this.#remove(jobId, watch);
      onClose();
    });
    this.#add(jobId, watch);
    return watch;
  }

  /** One watch of several jobs, for their ends. */
  addMany(jobIds: readonly JobId[], onClose: () => void): JobsWatch {
    this.#expectRoom(jobIds.length);
    const watch = new GroupWatch(() => {
      for (const jobId of jobIds) this.#remove(jobId, watch);
      onClose();
    });
    for (const jobId of jobIds) this.#add(jobId, watch);
    return watch;
  }

  /** Wakes who watches a job of these. */
  mark(events: readonly JobEvent[]): void {
    for (const { jobId, state } of events) {
      const isEnd = state !== null && isTerminal(state);
      this.#watchers.get(jobId)?.forEach((watcher) => {
        if (isEnd || watcher.watched === 'changes') watcher.mark(jobId);
      });
    }
  }

  markAll(): void {
    for (const [jobId, watchers] of this.#watchers) watchers.forEach((watcher) => watcher.mark(jobId));
  }

  #expectRoom(watches: number): void {
    if (this.#count + watches <= MAX_WATCHES) return;
    throw new RefusalError({ kind: 'overloaded', what: 'watched jobs', retryAfterMs: RETRY_AFTER_MS });
  }

  #add(jobId: JobId, watcher: Watcher): void {
    this.#count += 1;
    this.#watchers.set(jobId, (this.#watchers.get(jobId) ?? new Set()).add(watcher));
  }

  #remove(jobId: JobId, watcher: Watcher): void {
    const watchers = this.#watchers.get(jobId);
    if (watchers?.delete(watcher) === true) this.#count -= 1;
    if (watchers?.size === 0) this.#watchers.delete(jobId);
  }
}

class Watch implements JobWatch, Watcher {
  readonly watched: Watched;
  readonly #signal = new Signal();
  readonly #onClose: () => void;
  #marked = false;
  #open = true;

  constructor(watched: Watched, onClose: () => void) {
    this.watched = watched;
    this.#onClose = onClose;
  }

  mark(): void {
    this.#marked = true;
    this.#signal.fire();
  }

  async changed(signal: AbortSignal): Promise<boolean> {
    if (!this.#marked) await this.#signal.wait(signal);
    const marked = this.#marked;
    this.#marked = false;
    return marked;
  }

  close(): void {
    if (this.#open) this.#onClose();
    this.#open = false;
  }
}

class GroupWatch implements JobsWatch, Watcher {
  readonly watched = 'ends';
  readonly #signal = new Signal();
  readonly #onClose: () => void;
  readonly #marked = new Set<JobId>();
  #open = true;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  mark(jobId: JobId): void {
    this.#marked.add(jobId);
    this.#signal.fire();
  }

  async ended(signal: AbortSignal): Promise<readonly JobId[]> {
    if (this.#marked.size === 0) await this.#signal.wait(signal);
    const marked = [...this.#marked];
    this.#marked.clear();
    return marked;
  }

  close(): void {
    if (this.#open) this.#onClose();
    this.#open = false;
  }
}
