import type { Job } from '../../domain/job.ts';
import type { FailDecision, LeaseLost, NotStarted } from '../../engine/ports/repository.ts';
import type { SettleItem } from '../../engine/ports/leases.ts';
import type { Run } from '../database.ts';
import { distinctSorted, placed, type Placed } from '../held-leases.ts';
import { getJobs } from '../jobs/get-jobs.ts';
import { settled, type SettlementKind } from './settled.ts';

/** Looks at leases that are held and yet were not found: each needs a start that commits just then. */
const MAX_ROUNDS = 3;

interface Settling<Item, Outcome> {
  readonly settlement: SettlementKind;
  /** Changes the leases it finds and answers for those, by position. */
  readonly apply: (sent: readonly Placed<Item>[]) => Promise<ReadonlyMap<number, Outcome>>;
  readonly again: (job: Job, first: FailDecision) => Outcome;
}

/**
 * One batch of one kind of settlement. Whoever is not found either settled the same way before, and gets the first answer
 * again, or holds what is not started, or has lost the lease. A token not found is no answer by itself: a start may have
 * committed while the statement looked, so what is held and started is settled once more.
 */
export async function settleBatch<Item extends SettleItem, Outcome>(
  run: Run,
  now: string | null,
  items: readonly Item[],
  how: Settling<Item, Outcome>,
): Promise<readonly (Outcome | LeaseLost | NotStarted)[]> {
  const outcomes = new Map<number, Outcome | NotStarted>();
  let open = placed(items);
  for (let round = 0; round < MAX_ROUNDS && open.length > 0; round += 1) {
    for (const [position, outcome] of await how.apply(distinctSorted(open))) outcomes.set(position, outcome);
    const left = open.filter(({ position }) => !outcomes.has(position));
    open = left.length === 0 ? [] : await lookAfter(run, now, left, how, outcomes);
  }
  return items.map((_, position) => outcomes.get(position) ?? { kind: 'lease_lost' });
}

/** Answers those who settled before or have not started; returns those to settle once more. */
async function lookAfter<Item extends SettleItem, Outcome>(
  run: Run,
  now: string | null,
  left: readonly Placed<Item>[],
  { settlement, again }: Settling<Item, Outcome>,
  outcomes: Map<number, Outcome | NotStarted>,
): Promise<readonly Placed<Item>[]> {
  const items = left.map(({ item }) => item);
  const found = await settled(run, now, settlement, items);
  const ids = [...new Set(items.flatMap(({ token }, index) => (found[index]?.kind === 'settled' ? [token.jobId] : [])))];
  const told = ids.length === 0 ? [] : await getJobs(run, ids);
  const jobs = new Map(told.flatMap((job) => (job === null ? [] : [[job.jobId, job]])));
  left.forEach(({ item: { token }, position }, index) => {
    const first = found[index];
    const job = jobs.get(token.jobId);
    if (first?.kind === 'settled' && job !== undefined) outcomes.set(position, again(job, first.decision));
    if (first?.kind === 'not_started') outcomes.set(position, { kind: 'not_started', jobId: token.jobId });
  });
  return left.filter((_, index) => found[index]?.kind === 'running');
}
