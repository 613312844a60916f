import fc from 'fast-check';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { FOUND } from './found.ts';
import { Model } from './model.ts';
import { openGate } from './real.ts';
import { startSystem, type System } from './system.ts';
import { itMovesAlike } from './walks.ts';

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

  itMovesAlike(() => system);
});
