import type { ClaimedJob, HeartbeatResult } from '../gen/stint/v1/worker_service.ts';
import { Directive } from '../gen/stint/v1/lease.ts';
import { durationMs } from './duration.ts';

/**
 * A lease as its worker may trust it: until `ttl` after the request that gave or renewed it was **sent**, by this process's
 * own monotonic clock. The database's clock decides, but nobody here can read it; what was sent before it was granted is
 * always the safe side.
 */
export class HeldLease {
  readonly job: ClaimedJob;
  readonly #stop = new AbortController();
  #endsAt = 0;
  #alarm: NodeJS.Timeout | undefined;

  constructor(job: ClaimedJob, sentAt: number) {
    this.job = job;
    this.#holdUntil(sentAt + durationMs(job.lease?.ttl));
  }

  get token(): string {
    return this.job.lease?.leaseToken ?? '';
  }

  /** Aborted once the work must stop: the lease is gone, or the job is to be cancelled. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Asked anew before each effect: a process that was stopped and continued hears its alarm too late. */
  get isLive(): boolean {
    return performance.now() < this.#endsAt;
  }

  heard({ result }: HeartbeatResult, sentAt: number): void {
    if (result?.$case !== 'renewed') {
      this.#lose();
      return;
    }
    this.#holdUntil(sentAt + durationMs(result.renewed.ttl));
    // Still ours: whoever stops for a cancellation says so with a failure.
    if (result.renewed.directive === Directive.CANCEL) this.#stop.abort();
  }

  /** Once it is settled nothing is left to watch. */
  letGo(): void {
    clearTimeout(this.#alarm);
  }

  #lose(): void {
    clearTimeout(this.#alarm);
    this.#endsAt = 0;
    this.#stop.abort();
  }

  #holdUntil(endsAt: number): void {
    this.#endsAt = endsAt;
    clearTimeout(this.#alarm);
    this.#alarm = setTimeout(() => this.#lose(), endsAt - performance.now());
  }
}
