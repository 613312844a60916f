import type { EventServiceClient } from '../../gen/stint/v1/event_service.ts';
import type { JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import type { DemoFile } from './files.ts';
import { Follower } from './follower.ts';
import { Ledger } from './ledger.ts';
import { loseWorker, type Loss } from './lose-worker.ts';
import { enqueueFiles, type EnqueuedFile } from './producer.ts';
import { Progress } from './progress.ts';
import { Workers } from './workers.ts';

const workerCount = 4;
/** Longer than the lease, its grace and a sweep: what a killed worker held comes back within that time. */
const stallLimitMs = 60_000;

export interface RunOptions {
  readonly jobs: JobServiceClient;
  readonly events: EventServiceClient;
  readonly address: string;
  readonly queue: string;
  readonly files: readonly DemoFile[];
  readonly signal: AbortSignal;
}

export interface RunOutcome {
  readonly enqueued: readonly EnqueuedFile[];
  readonly ledger: Ledger;
  /** How often the follower went on from its cursor. */
  readonly resumes: number;
  /** What was lost half way; null if everything had ended by then. */
  readonly loss: Loss | null;
}

/** Enqueues, works, follows, and loses a worker half way, until every job has ended. */
export async function runJobs({ jobs, events, address, queue, files, signal }: RunOptions): Promise<RunOutcome> {
  const ledger = new Ledger();
  const follower = new Follower(events, queue, ledger);
  let ready = () => {};
  const followerReady = new Promise<void>((resolve) => (ready = resolve));
  const following = follower.run(ready);
  await Promise.race([followerReady, following]);

  const workers = new Workers(workerCount, queue, address);
  const progress = new Progress(ledger, files.length);
  const enqueued: EnqueuedFile[] = [];
  let loss: Loss | null = null;
  const produce = async () => {
    for await (const batch of enqueueFiles(jobs, queue, files, signal)) progress.enqueued = enqueued.push(...batch);
  };
  const disturb = async () => {
    await ledger.untilEnded(Math.ceil(files.length / 2), stallLimitMs, signal);
    follower.cut();
    loss = await loseWorker(workers, jobs, queue);
    if (loss !== null) progress.note = `| killed one worker, ${loss.leases} leases must expire`;
  };
  try {
    const done = Promise.all([produce(), disturb(), ledger.untilEnded(files.length, stallLimitMs, signal)]);
    // The follower ends by itself only when it fails.
    await Promise.race([done, following]);
    return { enqueued, ledger, resumes: follower.resumes, loss };
  } finally {
    progress.finish();
    follower.stop();
    await workers.stop();
  }
}
