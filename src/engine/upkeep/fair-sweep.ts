import type { Repository } from '../ports/repository.ts';
import type { FairPlace } from '../ports/upkeep.ts';
import { type Round, untimed, UpkeepLoop } from './upkeep-loop.ts';

/** A page of the fairness keys is looked at so often: what is not swept yet costs a row, nothing else. */
export const SWEEP_INTERVAL_MS = 10_000;

export interface FairSweeperParts {
  readonly repository: Pick<Repository, 'sweepFairKeys'>;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Walks round the fairness keys, a page a round, and forgets those that have no jobs. The next page follows at once where this one was full
 * and told something: many keys may come and go in ten seconds.
 */
export function fairSweeper({ repository, onFailure }: FairSweeperParts): UpkeepLoop<Round> {
  let after: FairPlace | null = null;
  return new UpkeepLoop({
    round: async () => {
      const { swept, next } = await repository.sweepFairKeys(after);
      after = next;
      return untimed(swept > 0 && next !== null);
    },
    onRound: () => undefined,
    onFailure,
    idleMs: SWEEP_INTERVAL_MS,
  });
}
