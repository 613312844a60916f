import type { QueueName } from '../../domain/queue.ts';
import type { Aftermath } from '../aftermath.ts';
import type { EnqueueItem, EnqueueOutcome, Handed, Repository } from '../ports/repository.ts';
import { StoreError } from '../ports/store-error.ts';
import type { OfferedLook } from '../workers/claim-group.ts';

/** Jobs of a commit that are offered: of more the claims have a statement of their own, beside that of the next enqueue. */
const MAX_OFFERED = 16;
/** What they may come to in one answer. */
const MAX_OFFERED_BYTES = 1024 * 1024;

export interface HandOverParts {
  readonly repository: Pick<Repository, 'enqueueMany' | 'handOver'>;
  readonly aftermath: Pick<Aftermath, 'ofEnqueue' | 'ofHandedOver'>;
  /** False, and nothing was looked for, where nobody waits for this queue alone. */
  readonly offer: (name: QueueName, look: OfferedLook) => Promise<boolean>;
}

/** What a look comes to that found nothing. */
const NOTHING_GIVEN: Handed['given'] = { jobs: [], limits: [] };

/** One commit of enqueues: where workers wait for its one queue, they are given of it there and then; who else waits is woken. */
export async function enqueueAndHandOver(parts: HandOverParts, items: readonly EnqueueItem[]): Promise<readonly EnqueueOutcome[]> {
  const handed = await handedOver(parts, items);
  if (handed === null) {
    const outcomes = await parts.repository.enqueueMany(items);
    parts.aftermath.ofEnqueue(outcomes);
    return outcomes;
  }
  const jobs = handed.given.jobs.flat().map(({ job }) => job);
  const given = new Set(jobs.map(({ jobId }) => jobId));
  parts.aftermath.ofHandedOver(jobs);
  parts.aftermath.ofEnqueue(handed.outcomes.filter((outcome) => outcome.kind !== 'enqueued' || !given.has(outcome.job.jobId)));
  return handed.outcomes;
}

async function handedOver({ repository, offer }: HandOverParts, items: readonly EnqueueItem[]): Promise<Handed | null> {
  const queue = items[0]?.queue;
  if (queue === undefined || !isOffered(items)) return null;
  let handing: Promise<Handed | null> = Promise.resolve(null);
  await offer(queue, async (offered) => {
    handing = repository.handOver(items, offered);
    try {
      return (await handing)?.given ?? NOTHING_GIVEN;
    } catch (error) {
      // Nobody knows whether it gave: who asks again under the same request id finds what it was given, as after a claim whose answer was lost.
      if (error instanceof StoreError && error.kind === 'unavailable') throw error;
      // It did nothing, and what is wrong with the enqueue is nothing to who waits.
      return NOTHING_GIVEN;
    }
  });
  return handing;
}

function isOffered(items: readonly EnqueueItem[]): boolean {
  const bytes = items.reduce((sum, { spec }) => sum + spec.payload.byteLength, 0);
  return items.length <= MAX_OFFERED && bytes <= MAX_OFFERED_BYTES && items.every(({ queue }) => queue.id === items[0]?.queue.id);
}
