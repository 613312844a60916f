/** What follows a commit that touched concurrency keys: who may become READY does, before it is answered. */
import type { Job } from '../domain/job.ts';
import type { Unblocked } from '../engine/ports/upkeep.ts';
import type { QueueKey } from './upkeep/unblock.ts';
import { StoreError } from '../engine/ports/store-error.ts';

/** An outcome that tells the job it is about. */
interface Told {
  readonly job?: Job;
}

export class KeyedCommits {
  readonly #unblock: (keys: readonly QueueKey[]) => Promise<Unblocked>;

  constructor(unblock: (keys: readonly QueueKey[]) => Promise<Unblocked>) {
    this.#unblock = unblock;
  }

  /** The outcomes of a commit, with the states that their jobs have once the slots of their keys are given. */
  async each<Outcome extends object>(commit: Promise<readonly Outcome[]>): Promise<readonly Outcome[]> {
    const outcomes = await commit;
    const jobs = outcomes.map((outcome: Told) => outcome.job);
    const unblocked = await this.#settle(jobs);
    return unblocked === null ? outcomes : outcomes.map((outcome, index) => later(outcome, jobs[index], unblocked));
  }

  /** The same for a commit that tells which jobs it changed. */
  async page<Page extends { readonly changed: readonly Job[] }>(commit: Promise<Page>): Promise<Page> {
    const page = await commit;
    await this.#settle(page.changed);
    return page;
  }

  /** Null where no job has a key. What fails here is done by upkeep: the commit stands. */
  async #settle(jobs: readonly (Job | undefined)[]): Promise<ReadonlyMap<string, Unblocked['jobs'][number]> | null> {
    const keyed = jobs.flatMap((job) => (job === undefined || job.concurrencyKey === '' ? [] : [job]));
    if (keyed.length === 0) return null;
    try {
      const { jobs: moved } = await this.#unblock(keyed);
      return new Map(moved.map((one) => [one.jobId, one]));
    } catch (error) {
      if (error instanceof StoreError) return null;
      throw error;
    }
  }
}

function later<Outcome extends object>(
  outcome: Outcome,
  job: Job | undefined,
  moved: ReadonlyMap<string, Unblocked['jobs'][number]>,
): Outcome {
  const found = job === undefined ? undefined : moved.get(job.jobId);
  if (job === undefined || found === undefined) return outcome;
  return { ...outcome, job: { ...job, state: found.state, lastSequence: job.lastSequence + 1 } };
}
