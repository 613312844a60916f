import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_KEYS } from '../../bench/cells.ts';
import type { Load } from '../../bench/messages.ts';
import { skipLockedLoader } from '../../bench/skip-locked-route.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const loader = skipLockedLoader();
let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase('');
});
afterAll(() => database.drop());

const placeOf = (batch: number) => ({ target: database.url, queue: 'unused', batch, keys: NO_KEYS });
const left = async () => Number((await database.sql`select count(*)::int as n from jobs`)[0]?.['n']);

async function runUntilDry(load: Load, batch: number, callers: number) {
  const running = await loader.start({ ...placeOf(batch), load, callers });
  let found = await running.mark();
  while (!found.ranDry) {
    await new Promise((resolve) => setImmediate(resolve));
    found = await running.mark();
  }
  await running.stop();
  return running.mark();
}

describe('the loop that one writes by hand', () => {
  it.each([
    [1, 3],
    [100, 3],
  ])('does each job that was laid in once, %i at a time', async (batch, callers) => {
    await loader.layIn({ kind: 'fill', ...placeOf(100), calls: 3 });
    const laidIn = await left();
    expect(laidIn).toBeGreaterThanOrEqual(300);
    expect((await runUntilDry('claim-settle', batch, callers)).jobs).toBe(laidIn);
    expect(await left()).toBe(0);
  });

  it('begins anew with each measurement', async () => {
    await loader.layIn({ kind: 'fill', ...placeOf(100), calls: 1 });
    await loader.layIn({ kind: 'fill', ...placeOf(100), calls: 0 });
    expect(await left()).toBe(0);
  });
});
