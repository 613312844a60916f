import { setTimeout as delay } from 'node:timers/promises';
import { isPassing } from '../../examples/call.ts';

/** What is measured by this is not finer. */
const TRY_AGAIN_MS = 50;
/** Longer than any fault of a test lasts, with all that it takes to recover from it. */
const GIVE_UP_MS = 180_000;

/** Again and again, with no growing pauses, while the service is away or full. For calls that are safe to repeat. */
export async function untilOk<T>(call: () => Promise<T>): Promise<T> {
  const givesUpAt = performance.now() + GIVE_UP_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isPassing(error) || performance.now() > givesUpAt) throw error;
    }
    await delay(TRY_AGAIN_MS);
  }
}
