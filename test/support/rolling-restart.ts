import type { Replica } from './replicas.ts';

/** One after the other, as a deployment does: told to stop, waited for, started anew at the same address, and waited for until it serves. */
export async function restartEach(replicas: readonly Replica[]): Promise<void> {
  for (const replica of replicas) {
    const code = await replica.terminate();
    if (code !== 0) throw new Error(`the replica at ${replica.address} did not stop in order: it ended with ${code}`);
    await replica.restart();
  }
}
