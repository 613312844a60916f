import fc from 'fast-check';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { anyCommand } from './any-command.ts';
import { FOUND } from './found.ts';
import { Model } from './model.ts';
import { openGate } from './real.ts';
import { startSystem, type System } from './system.ts';

/** CI asks for 1,000. */
const RUNS = Number(process.env['STINT_MODEL_RUNS'] ?? 60);
const MAX_COMMANDS = 25;
const RUNS_BETWEEN_CLEARINGS = 25;

describe('a job in the service and in the model', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.close());

  it.each(FOUND)('%s', async (_name, steps) => {
    const real = { system, namespace: system.newNamespace() };
    await openGate(real);
    await fc.asyncModelRun(() => ({ model: new Model(), real }), steps);
  });

  it(`moves alike, step by step, through either of two replicas (${RUNS} runs)`, { timeout: 20 * 60_000 }, async () => {
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
});
