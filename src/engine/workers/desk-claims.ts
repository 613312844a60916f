/** How the desk claims: sorted by type first where types are asked for, past locked gates, watched, and with what follows. */
import type { CommitObserver } from '../ports/commit-observer.ts';
import type { Repository } from '../ports/repository.ts';
import type { ClaimDeskParts } from './claim-desk.ts';
import { throughGates } from './contended-claim.ts';
import { sortingFirst } from './sorted-claim.ts';

export interface DeskClaimsParts {
  readonly repository: Pick<Repository, 'claim' | 'sortByType' | 'leasesOfRequest'>;
  readonly observer: CommitObserver | undefined;
  /** A job with a concurrency key was claimed: where its key has a rate, the next of its jobs may be READY once its permit is there. */
  readonly onKeyed: () => void;
}

export function deskClaims({ repository, observer, onKeyed }: DeskClaimsParts): ClaimDeskParts['repository'] {
  const claim = sortingFirst({ claim: throughGates(watchedClaim(repository.claim, observer)), sortByType: repository.sortByType });
  return {
    claim: async (...asked) => {
      const given = await claim(...asked);
      if (given.jobs.some((jobs) => jobs.some(({ job }) => job.concurrencyKey !== ''))) onKeyed();
      return given;
    },
    leasesOfRequest: repository.leasesOfRequest,
  };
}

/** Its items are the claims that it serves. How long they have waited for work says nothing of us. */
function watchedClaim(claim: Repository['claim'], observer: CommitObserver | undefined): Repository['claim'] {
  if (observer === undefined) return claim;
  return async (...asked) => {
    const [, slots] = asked;
    const observation = observer.begin({ lane: 'claim', items: slots.length, waitsMs: [], origins: [] });
    if (observation === null) return claim(...asked);
    const send = () => claim(...asked);
    try {
      const given = await (observation.run === undefined ? send() : observation.run(send));
      observation.end(null);
      return given;
    } catch (error) {
      observation.end(error);
      throw error;
    }
  };
}
