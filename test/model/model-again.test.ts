import { afterAll, beforeAll, describe } from 'vitest';
import { startSystem, type System } from './system.ts';
import { itMovesAlike } from './walks.ts';

describe('a job in the service and in the model, on walks of its own', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.close());

  itMovesAlike(() => system);
});
