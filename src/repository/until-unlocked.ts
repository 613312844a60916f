import { StoreError } from '../engine/ports/store-error.ts';

/** Replicas that start together take turns: so often each waits for a lock (250 ms each), then it says what is wrong. */
const MAX_TURNS = 40;

/** For what replicas make at once, the same rows or tables: who meets another's lock tries again behind it. Throws `contended` in the end. */
export async function untilUnlocked(work: () => Promise<unknown>): Promise<void> {
  for (let turn = 1; ; turn += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'contended' || turn === MAX_TURNS) throw error;
    }
  }
}
