/** Subscribers that stop reading: what they cost the service, and what they have missed when they read again. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { connect, type Stint } from '../contract/stint.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type MeasuredService, startMeasuredService } from '../support/measured-service.ts';
import { type Holding, holdingOf, settled } from './level.ts';
import { Reader } from './reader.ts';

const MIB = 1024 * 1024;
const NAMESPACE = 'read';
const JOBS_AT_ONCE = 1_000;
/** Enqueued, claimed, started, succeeded. */
const EVENTS_PER_JOB = 4;
/** Before the readers come: enough for each to begin with a full read of the log. */
const ROUNDS_BEFORE = 5;
/** Once they have stopped: 52,000 events. */
const ROUNDS_AFTER = 13;
const JOBS = (ROUNDS_BEFORE + ROUNDS_AFTER) * JOBS_AT_ONCE;

const STOPPED = 20;
/** What the feed keeps for all readers together, by its own bound. */
const RING_BYTES = 32 * MIB;
/** One read of the log, one message on its way and the window of a connection. All events for each would be ten times as much. */
const BYTES_PER_READER = 2 * MIB;
/** Of the level before: statements that were prepared, code that was compiled. */
const LEVEL_BYTES = 4 * MIB;

/** Only what never comes takes so long. */
const LIMIT_MS = 240_000;
const AT_LAST = { timeout: 60_000, interval: 50 };

describe(`${STOPPED} subscribers that stop reading`, { timeout: LIMIT_MS }, () => {
  let database: TestDatabase;
  let service: MeasuredService;
  let stint: Stint;
  let before: Holding;
  let diligent: Reader;
  const stopped: Reader[] = [];

  beforeAll(async () => {
    database = await createDatabase();
    service = await startMeasuredService(database.url);
    stint = connect(service.address);
    await runJobs('warm-up');
    before = await holdingOf(service, database);
    for (let round = 0; round < ROUNDS_BEFORE; round += 1) await runJobs(NAMESPACE);
  }, LIMIT_MS);

  afterAll(async () => {
    stint.close();
    await service.stop();
    await database.drop();
  });

  /** A thousand jobs, from their enqueue to their end. */
  async function runJobs(namespace: string): Promise<void> {
    const queue = 'work';
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: JOBS_AT_ONCE }, () => ({ queue })) });
    const { jobs } = await stint.claim({ namespace, workerId: 'w', queues: [queue], maxJobs: JOBS_AT_ONCE });
    const settlements = jobs.map(({ lease }) => ({ leaseToken: lease?.leaseToken ?? '', action: { $case: 'ack' as const, ack: {} } }));
    expect((await stint.settle({ settlements })).results).toHaveLength(JOBS_AT_ONCE);
  }

  it('stall nobody else, and cost little while 50,000 events pass', async () => {
    diligent = new Reader(service.address, NAMESPACE);
    stopped.push(...Array.from({ length: STOPPED }, () => new Reader(service.address, NAMESPACE)));
    await vi.waitFor(() => expect(stopped.every(({ count }) => count > 0)).toBe(true), AT_LAST);
    for (const reader of stopped) reader.stop();
    for (let round = 0; round < ROUNDS_AFTER; round += 1) await runJobs(NAMESPACE);
    await vi.waitFor(() => expect(diligent.count).toBe(JOBS * EVENTS_PER_JOB), AT_LAST);
    expect(stopped.every(({ count }) => count < diligent.count)).toBe(true);
    const { bytes } = await holdingOf(service, database);
    expect(bytes - before.bytes).toBeLessThan(RING_BYTES + STOPPED * BYTES_PER_READER);
  });

  it('get every event in its turn when they read again', async () => {
    const again = stopped.slice(0, 3);
    for (const reader of again) reader.goOn();
    await vi.waitFor(() => expect(again.map(({ count }) => count)).toEqual(again.map(() => diligent.count)), AT_LAST);
    for (const reader of [diligent, ...again]) expect([reader.jobs, reader.outOfTurn]).toEqual([JOBS, []]);
  });

  it('leave nothing behind when they go without another word', async () => {
    for (const reader of [diligent, ...stopped]) reader.leave();
    await settled(service, database, before);
    // The ring goes with the next look of the feed.
    await vi.waitFor(async () => {
      const { bytes } = await holdingOf(service, database);
      expect(bytes - before.bytes).toBeLessThan(LEVEL_BYTES);
    }, AT_LAST);
  });
});
