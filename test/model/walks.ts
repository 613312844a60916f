import fc from 'fast-check';
import { it } from 'vitest';
import { anyCommand } from './any-command.ts';
import { Model } from './model.ts';
import { openGate } from './real.ts';
import type { System } from './system.ts';

/** Of both files that walk: two processes, for each waits for its database half of its time. CI asks for 600. */
const RUNS = Math.ceil(Number(process.env['STINT_MODEL_RUNS'] ?? 60) / 2);
const MAX_COMMANDS = 25;
const RUNS_BETWEEN_CLEARINGS = 25;

/** Half of the walks that are asked for, drawn at random; `systemOf` is asked once the test runs. */
export function itMovesAlike(systemOf: () => System): void {
  it(`moves alike, step by step, through either of two replicas (${RUNS} runs)`, { timeout: 20 * 60_000 }, async () => {
    const system = systemOf();
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.commands(anyCommand, { maxCommands: MAX_COMMANDS, size: 'max' }), async (steps) => {
        // Time has moved on in earlier runs, and with it what must have a partition.
        await system.store.repository.ensurePartitions();
        runs += 1;
        if (runs % RUNS_BETWEEN_CLEARINGS === 0) await system.forgetJobs();
        const real = { system, namespace: system.newNamespace() };
        // Every second queue has a gate: all that moves a token goes both ways.
        if (runs % 2 === 0) await openGate(real);
        await fc.asyncModelRun(() => ({ model: new Model(), real }), steps);
      }),
      { numRuns: RUNS, verbose: 1 },
    );
  });
}
