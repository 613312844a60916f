/** The formula in SQL against the one in TypeScript. */
import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_RETRY_POLICY, retryDelayMs } from '../../../src/domain/retry.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { plainArray } from '../../../src/repository/array.ts';
import { Database } from '../../../src/repository/database.ts';
import { retryDelayMs as retryDelaySql } from '../../../src/repository/retry-delay.ts';
import { float, int } from '../../../src/repository/row.ts';
import { param, statement } from '../../../src/repository/statement.ts';
import { createDatabase, type TestDatabase } from '../../support/database.ts';

const table = statement<'attempts' | 'initials' | 'multipliers' | 'maxes' | 'jitters' | 'factors'>(
  'retry-delays',
  sql`select p.n::int as n, ${retryDelaySql} as delay_ms
    from unnest(${param('attempts')}::int[], ${param('initials')}::bigint[], ${param('multipliers')}::float8[], ${param('maxes')}::bigint[],
        ${param('jitters')}::boolean[], ${param('factors')}::float8[])
      with ordinality as p(attempt, initial_backoff_ms, multiplier, max_backoff_ms, jitter, jitter_factor, n)
    order by n`,
);

const delays = fc.integer({ min: 0, max: LIMITS.delayMs });
const row = fc.record({
  attempt: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: LIMITS.maxAttempts })),
  initialBackoffMs: fc.oneof(fc.integer({ min: 0, max: 10_000 }), delays),
  multiplier: fc.oneof(fc.double({ min: 1, max: 4, noNaN: true }), fc.double({ min: 1, max: LIMITS.backoffMultiplier, noNaN: true })),
  maxBackoffMs: fc.oneof(fc.integer({ min: 0, max: 1_000_000 }), delays),
  jitter: fc.boolean(),
  jitterFactor: fc.double({ min: 0.5, max: 1, maxExcluded: true, noNaN: true }),
});

let database: TestDatabase;
let own: Database;
beforeAll(async () => {
  database = await createDatabase();
  own = new Database({ url: database.url, connections: 1, applicationName: 'retry delays', settings: 'hot' });
});
afterAll(async () => {
  await own.close();
  await database.drop();
});

describe('the retry delay in SQL', () => {
  it('is the one of the domain, to a nanosecond in a second, for every policy a job may have', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 200, maxLength: 200 }), async (rows) => {
        const found = await own.run(table, {
          attempts: plainArray(rows.map(({ attempt }) => attempt)),
          initials: plainArray(rows.map(({ initialBackoffMs }) => initialBackoffMs)),
          multipliers: plainArray(rows.map(({ multiplier }) => multiplier)),
          maxes: plainArray(rows.map(({ maxBackoffMs }) => maxBackoffMs)),
          jitters: plainArray(rows.map(({ jitter }) => jitter)),
          factors: plainArray(rows.map(({ jitterFactor }) => jitterFactor)),
        });
        found.forEach((one, index) => {
          const told = rows[index];
          if (told === undefined) throw new Error('more rows than were sent');
          const expected = retryDelayMs({ ...DEFAULT_RETRY_POLICY, ...told }, told.attempt, told.jitterFactor);
          expect(int(one, 'n')).toBe(index + 1);
          expect(Math.abs(float(one, 'delay_ms') - expected)).toBeLessThanOrEqual(expected * 1e-9);
        });
        expect(found).toHaveLength(rows.length);
      }),
      { numRuns: 40 },
    );
  });
});
