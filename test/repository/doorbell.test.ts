import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { createDoorbell } from '../../src/repository/doorbell.ts';
import { Database } from '../../src/repository/database.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startWireProxy } from '../support/wire-proxy.ts';

/** Shorter than the time after which a bell tests its own hearing. */
const SOON_MS = 4_000;

/** Rings are so far apart. */
const RING_GAP_MS = 10;

/** Longer than a bell waits for its first answer, and tests its hearing. */
const LATER_MS = 25_000;

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

it('that gets no answer keeps nobody from serving, and listens once there is one', { timeout: 2 * LATER_MS }, async () => {
  const proxy = await startWireProxy(database.url);
  const pool = new Database({ url: database.url, connections: 1, applicationName: 'stint test', settings: 'hot' });
  const bell = createDoorbell(proxy.url, pool);
  onTestFinished(async () => {
    await bell.close();
    await pool.close();
    await proxy.close();
  });
  proxy.silence(() => true);
  let rings = 0;
  await bell.listen({ onRing: () => (rings += 1), onQueues: () => undefined });
  expect(rings).toBe(0);
  proxy.silence(() => false);
  await vi.waitFor(() => expect(rings).toBe(1), { timeout: LATER_MS });
});

it('that is alone does not ring, and rings again as soon as another replica listens, also for what that one has missed', async () => {
  const pool = new Database({ url: database.url, connections: 2, applicationName: 'stint test', settings: 'hot' });
  let sent = 0;
  const counting: Pick<Database, 'run'> = {
    run: (...asked) => {
      sent += 1;
      return pool.run(...asked);
    },
  };
  const [bell, other] = [createDoorbell(database.url, counting), createDoorbell(database.url, pool)];
  onTestFinished(async () => {
    await Promise.all([bell.close(), other.close()]);
    await pool.close();
  });
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  await bell.listen({ onRing: () => undefined, onQueues: () => undefined });
  const isRinging = async () => {
    const before = sent;
    bell.ring();
    vi.advanceTimersByTime(RING_GAP_MS);
    await pause(2 * RING_GAP_MS);
    return sent > before;
  };
  // Until nobody was heard for three tests of hearing, somebody may be there.
  vi.advanceTimersByTime(14_000);
  expect(await isRinging()).toBe(true);
  vi.advanceTimersByTime(1_000);
  await vi.waitUntil(async () => !(await isRinging()));
  let rings = 0;
  await other.listen({ onRing: () => (rings += 1), onQueues: () => undefined });
  await vi.waitFor(() => expect(rings).toBe(2), { timeout: SOON_MS });
  bell.ring();
  await vi.waitFor(() => expect(rings).toBe(3), { timeout: SOON_MS });
});

it('whose listening session was ended has its replica look, though nobody rings: what was told meanwhile is lost', async () => {
  const pool = new Database({ url: database.url, connections: 1, applicationName: 'stint test', settings: 'hot' });
  const bell = createDoorbell(database.url, pool);
  onTestFinished(async () => {
    await bell.close();
    await pool.close();
  });
  let [rings, changes] = [0, 0];
  await bell.listen({ onRing: () => (rings += 1), onQueues: () => (changes += 1) });
  expect([rings, changes]).toEqual([1, 1]);
  const ended = await database.sql`
    select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'stint listen'`;
  expect(ended).toHaveLength(1);
  await vi.waitFor(() => expect([rings, changes]).toEqual([2, 2]), { timeout: SOON_MS });
});
