/** How a session bears a database that does not answer. */
import type { Settled, Settlement } from '../workers/words.ts';
import { StoreError } from '../ports/store-error.ts';

/** What the database did not answer is asked again after this. */
export const RETRY_MS = 1_000;

export function isPassing(error: unknown): boolean {
  return error instanceof StoreError && error.kind !== 'broken' && error.kind !== 'bad_item';
}

/** A database that does not answer refuses the items and not the stream, which the worker would only have to open again. */
export async function settledOrRefused(
  settle: (settlements: readonly Settlement[]) => Promise<readonly Settled[]>,
  settlements: readonly Settlement[],
): Promise<readonly Settled[]> {
  try {
    return await settle(settlements);
  } catch (error) {
    if (!isPassing(error)) throw error;
    return settlements.map(() => ({ kind: 'refused', refusal: { kind: 'store_unavailable', retryAfterMs: RETRY_MS } }));
  }
}
