import { LIMITS } from '../../domain/limits.ts';
import type { Claim } from '../engine.ts';
import type { OpenWork } from './work.ts';

/** What a session claims: for as much as there is room for when it is served, however long that takes. */
export function pushedClaim({ namespace, workerId, queues, types }: OpenWork, leaseDurationMs: number, room: () => number): Claim {
  return {
    ...{ namespace, workerId, queues, types, leaseDurationMs, channel: 'push', requestId: null, startOnClaim: true, waitMs: null },
    get maxJobs() {
      return Math.max(1, Math.min(LIMITS.claimJobs, room()));
    },
  };
}
