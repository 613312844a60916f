import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { CommitWalk, type CommitStep } from './commit-walk.ts';
import { startReplica, type Replica } from './replica.ts';

const RUNS = 12;
const MAX_STEPS = 50;

const writer = fc.nat(3);
const jobs = fc.constantFrom(1, 1, 1, 3, 300);

const anyStep: fc.Arbitrary<CommitStep> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('write' as const), writer, jobs }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('end' as const), writer, how: fc.constantFrom('commit', 'commit', 'commit', 'rollback') }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('enqueue' as const), jobs: fc.constantFrom(1, 2, 40) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('claim' as const), maxJobs: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('ack' as const), lease: fc.nat(20), writer: fc.option(writer) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('look' as const), replica: fc.nat(1) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const), reader: fc.nat(2), replica: fc.nat(1), at: fc.nat(1_000) }) },
);

describe('followers of a log whose commits land out of order', () => {
  let database: TestDatabase;
  let replicas: readonly Replica[];
  beforeAll(async () => {
    database = await createDatabase();
    // One keeps all in its ring, from the other readers fall out all the time.
    replicas = [await startReplica(database), await startReplica(database, { ringEvents: 10 })];
  });
  afterAll(async () => {
    for (const replica of replicas) await replica.close();
    await database.drop();
  });

  it('get every event once and in order, from whatever cursor and on whatever replica they go on', { timeout: 240_000 }, async () => {
    const property = fc.asyncProperty(fc.array(anyStep, { maxLength: MAX_STEPS, size: 'max' }), async (steps) => {
      const walk = await CommitWalk.begin(database, replicas);
      try {
        for (const step of steps) await walk.do(step);
        await walk.finish();
        walk.readers.forEach((reader) => expect([...reader.keys].sort()).toEqual([...walk.committedKeys].sort()));
        for (const reader of walk.readers) {
          expect(reader.sequencesOutOfOrder()).toEqual([]);
          expect(walk.causesAfterEffects(reader.keys)).toEqual([]);
        }
      } finally {
        await walk.end();
      }
    });
    await fc.assert(property, { numRuns: RUNS });
  });
});
