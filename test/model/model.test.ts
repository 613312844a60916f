import fc from 'fast-check';
import { afterAll, beforeAll, describe, it } from 'vitest';
import * as commands from './commands.ts';
import { Model } from './model.ts';
import { startSystem, type System } from './system.ts';

/** 200 in `npm test`; CI asks for 1,000. */
const RUNS = Number(process.env['STINT_MODEL_RUNS'] ?? 200);
const MAX_COMMANDS = 25;
const RUNS_BETWEEN_CLEARINGS = 25;

const pick = fc.record({ job: fc.nat(20), older: fc.constantFrom(0, 0, 0, 1) });

const anyCommand = [
  fc
    .record({
      priority: fc.constantFrom(0, 0, 0, 5, -5, 2_147_483_647, -2_147_483_648),
      runInMs: fc.constantFrom(null, null, null, 3_000, -1_000),
      key: fc.constantFrom(null, null, 'k1', 'k2'),
      content: fc.constantFrom('a' as const, 'a' as const, 'b' as const),
      maxAttempts: fc.constantFrom(null, 1, 2),
      onDuplicate: fc.constantFrom('RETURN_EXISTING' as const, 'RETURN_EXISTING' as const, 'REJECT' as const),
    })
    .map(commands.enqueue),
  fc
    .record({
      maxJobs: fc.integer({ min: 1, max: 3 }),
      start: fc.constantFrom(true, true, false),
      leaseDurationMs: fc.constantFrom(1_000, 30_000),
    })
    .map(commands.claim),
  pick.map(commands.start),
  pick.map(commands.heartbeat),
  pick.map(commands.ack),
  fc
    .tuple(
      pick,
      fc.record({
        code: fc.constantFrom('boom', 'never'),
        kind: fc.constantFrom('RETRYABLE' as const, 'RETRYABLE' as const, 'TERMINAL' as const),
        retryAfterMs: fc.constantFrom(null, null, 0, 1_500),
      }),
    )
    .map(([which, told]) => commands.fail(which, told)),
  fc.tuple(pick, fc.constantFrom(0, 0, 2_500)).map(([which, delayMs]) => commands.release(which, delayMs)),
  fc.constantFrom(1, 999, 4_000, 6_000, 36_000).map(commands.advance),
  fc.constant(null).map(commands.upkeep),
];

describe('the service', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.close());

  it(`does what the pure model does, step by step (${RUNS} runs)`, { timeout: 10 * 60_000 }, async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.commands(anyCommand, { maxCommands: MAX_COMMANDS, size: 'max' }), async (steps) => {
        // Time has moved on in earlier runs, and with it what must have a partition.
        await system.store.repository.ensurePartitions();
        runs += 1;
        if (runs % RUNS_BETWEEN_CLEARINGS === 0) await system.forgetJobs();
        const namespace = system.newNamespace();
        const setup = () => ({ model: new Model(namespace), real: { system, namespace } });
        await fc.asyncModelRun(setup, steps);
      }),
      { numRuns: RUNS, verbose: 1 },
    );
  });
});
