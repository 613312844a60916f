import { setTimeout as pause } from 'node:timers/promises';
import type { Repository } from '../ports/repository.ts';
import { StoreError } from '../ports/store-error.ts';

/** How long a claim sorts a queue by type, or waits until it can, before its callers are told to come again. What is sorted stays so. */
const SORT_MS = 10_000;
/** While a step waits for the writes under way, all that writes waits behind it: between two tries they have so long to themselves. */
const CONTENDED_PAUSE_MS = 500;

/** A claim by type of queues that were never claimed so, or not to the end: they are sorted first. */
export function sortingFirst({ claim, sortByType }: Pick<Repository, 'claim' | 'sortByType'>): Repository['claim'] {
  return async (queues, slots, ...how) => {
    for (const startedAt = performance.now(); ;) {
      const given = await claim(queues, slots, ...how);
      const unsorted = new Set(given.limits.filter(({ limiter }) => limiter === 'UNSORTED').map(({ queue }) => queue));
      if (unsorted.size === 0) return given;
      const mine = queues.filter(({ name }) => unsorted.has(name));
      while (!(await sortedOrContended(() => sortByType(mine), startedAt))) {
        if (performance.now() - startedAt > SORT_MS) throw new StoreError('contended', 'the queue is being sorted by type');
      }
    }
  };
}

/** False also where the step waited too long, until the time is over. */
async function sortedOrContended(step: () => Promise<boolean>, startedAt: number): Promise<boolean> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'contended' || performance.now() - startedAt > SORT_MS) throw error;
    await pause(CONTENDED_PAUSE_MS);
    return false;
  }
}
