/** Of a job, what those who watch it may see. */
export interface ObservedJob {
  readonly jobId: string;
  readonly queue: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Who watches jobs go to workers and come back: tracing. Each is told in the context of the worker's call. */
export interface WorkerObserver {
  /** A worker gets them; none where a poll brought nothing. */
  onAssigned(jobs: readonly ObservedJob[]): void;
  /** Their holder ended tries of them, or gave them back; none where it held none. */
  onSettled(jobs: readonly ObservedJob[]): void;
}
