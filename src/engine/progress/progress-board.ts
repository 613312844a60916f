import type { JobId } from '../../domain/job.ts';
import type { JobProgress } from '../../domain/progress.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Signal } from '../ports/signal.ts';
import { LatestByJob } from './latest-by-job.ts';

/** Jobs of which one follower keeps the newest progress until it is taken: what a slow reader costs. */
const JOBS_PER_FOLLOWER = 1_000;
/** Jobs of which the newest is remembered, so that an older one that another replica tells later is not taken for news. */
const JOBS_REMEMBERED = 10_000;

/** Whose progress is followed. */
export type ProgressScope =
  | { readonly kind: 'job'; readonly jobId: JobId }
  | { readonly kind: 'queue'; readonly namespace: string; readonly queue: string }
  | { readonly kind: 'everything'; readonly namespace: string };

/** Tells those who follow on this replica, and nobody else: without followers it holds nothing. */
export class ProgressBoard {
  readonly #followers = new Map<string, Set<ProgressWatch>>();
  readonly #newest = new LatestByJob<JobProgress>(JOBS_REMEMBERED);

  /** Nobody follows: whatever is told may be dropped unread. */
  get isIdle(): boolean {
    return this.#followers.size === 0;
  }

  tell(told: readonly JobProgress[]): void {
    if (this.isIdle) return;
    for (const progress of told) {
      if (!this.#newest.put(progress)) continue;
      const { namespace, queue, jobId } = progress;
      for (const key of [jobKey(jobId), queueKey(namespace, queue), namespaceKey(namespace)]) {
        this.#followers.get(key)?.forEach((follower) => follower.put(progress));
      }
    }
  }

  follow(scope: ProgressScope): ProgressWatch {
    const key = keyOf(scope);
    const followers = this.#followers.get(key) ?? new Set();
    const follower = new ProgressWatch(() => {
      followers.delete(follower);
      if (followers.size === 0 && this.#followers.get(key) === followers) this.#followers.delete(key);
      if (this.isIdle) this.#newest.clear();
    });
    this.#followers.set(key, followers.add(follower));
    return follower;
  }
}

/** What one follower has still to be told. */
export class ProgressWatch {
  readonly #latest = new LatestByJob<JobProgress>(JOBS_PER_FOLLOWER);
  readonly #signal = new Signal();
  readonly #onClose: () => void;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  put(progress: JobProgress): void {
    if (this.#latest.put(progress)) this.#signal.fire();
  }

  /** Until there is something to take, or the signal. */
  async news(signal: AbortSignal): Promise<void> {
    if (this.#latest.size === 0) await this.#signal.wait(signal);
  }

  /** As many as fit a message, each job once; what was told first comes first. */
  take(): readonly JobProgress[] {
    return this.#latest.take(LIMITS.progressPerMessage);
  }

  close(): void {
    this.#onClose();
  }
}

function keyOf(scope: ProgressScope): string {
  switch (scope.kind) {
    case 'job':
      return jobKey(scope.jobId);
    case 'queue':
      return queueKey(scope.namespace, scope.queue);
    case 'everything':
      return namespaceKey(scope.namespace);
  }
}

/** Names hold no `/` and no `:`. */
const jobKey = (jobId: JobId) => `job:${jobId}`;
const queueKey = (namespace: string, queue: string) => `queue:${namespace}/${queue}`;
const namespaceKey = (namespace: string) => `namespace:${namespace}`;
