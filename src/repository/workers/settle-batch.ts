import type { Job } from '../../domain/job.ts';
import type { FailDecision, LeaseLost, NotStarted, SettleItem } from '../../engine/ports/repository.ts';
import type { Run } from '../database.ts';
import { distinctSorted } from '../held-leases.ts';
import { getJobs } from '../jobs/get-jobs.ts';
import { settled } from './settled.ts';

type Sent<Item> = readonly { readonly item: Item; readonly position: number }[];

/**
 * One batch of one kind of settlement. `apply` answers the leases it found and changed; whoever is left either settled
 * the same way before, and gets the first answer again, or holds what is not started, or has lost the lease.
 */
export async function settleBatch<Item extends SettleItem, Outcome>(
  run: Run,
  now: string | null,
  items: readonly Item[],
  how: {
    readonly settlement: 'ack' | 'fail' | 'release';
    readonly apply: (sent: Sent<Item>) => Promise<ReadonlyMap<number, Outcome>>;
    readonly again: (job: Job, first: FailDecision) => Outcome;
  },
): Promise<readonly (Outcome | LeaseLost | NotStarted)[]> {
  const outcomes = new Map<number, Outcome | NotStarted>(await how.apply(distinctSorted(items)));
  const left = items.map((item, position) => ({ item, position })).filter(({ position }) => !outcomes.has(position));
  if (left.length > 0) {
    const firsts = await settled(
      run,
      now,
      how.settlement,
      left.map(({ item }) => item),
    );
    const jobs = await getJobs(
      run,
      left.map(({ item }) => item.token.jobId),
    );
    left.forEach(({ item, position }, index) => {
      const first = firsts[index] ?? null;
      const job = jobs[index] ?? null;
      if (first?.kind === 'not_started') outcomes.set(position, { kind: 'not_started', jobId: item.token.jobId });
      else if (first !== null && job !== null) outcomes.set(position, how.again(job, first.decision));
    });
  }
  return items.map((_, position) => outcomes.get(position) ?? { kind: 'lease_lost' });
}
