import type { Repository } from '../ports/repository.ts';
import { StoreError } from '../ports/store-error.ts';

/** Looks of a claim that met a locked gate; each has waited for it. Past them its callers are told to come again. */
const MAX_LOOKS = 8;

/** A claim that waits for the gate of a bounded queue: what holds it is short, but there may be many before. */
export function throughGates(claim: Repository['claim']): Repository['claim'] {
  return async (...asked) => {
    for (let looks = 1; ; looks += 1) {
      try {
        return await claim(...asked);
      } catch (error) {
        if (!(error instanceof StoreError) || error.kind !== 'contended' || looks === MAX_LOOKS) throw error;
      }
    }
  };
}
