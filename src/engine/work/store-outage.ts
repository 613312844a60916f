/** How a session bears a database that does not answer. */
import type { Settled, Settlement } from '../workers/words.ts';
import { RefusalError } from '../../domain/error.ts';
import { Signal } from '../ports/signal.ts';
import { StoreError } from '../ports/store-error.ts';

/** What the database did not answer is asked again after this. */
export const RETRY_MS = 1_000;

/** Also of a replica that has as much to do as it takes: a stream that ends for it comes back at once, and brings more. */
export function isPassing(error: unknown): boolean {
  if (error instanceof RefusalError) return error.refusal.kind === 'overloaded';
  return error instanceof StoreError && error.kind !== 'broken' && error.kind !== 'bad_item';
}

/** Asked until it is answered; null where `over` aborts before. */
export async function untilAnswered<Answer>(ask: () => Promise<Answer>, over: AbortSignal): Promise<Answer | null> {
  while (!over.aborted) {
    try {
      return await ask();
    } catch {
      await new Signal().wait(over, RETRY_MS);
    }
  }
  return null;
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
