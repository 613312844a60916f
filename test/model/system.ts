import { randomUUID } from 'node:crypto';
import { createEngine, type RunningEngine } from '../../src/engine/create-engine.ts';
import type { Clock } from '../../src/engine/ports/clock.ts';
import { EventHub } from '../../src/feed/event-hub.ts';
import { openStore, type Store } from '../../src/repository/store.ts';
import { PlayedClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

/** Two real engines on one real Postgres, with time played by the test and no upkeep but what the test asks for. */
export interface System {
  readonly engine: RunningEngine;
  readonly store: Store;
  /** Of a second replica: it has a store of its own on the same database. */
  readonly secondEngine: RunningEngine;
  readonly clock: PlayedClock;
  readonly database: TestDatabase;
  newNamespace(): string;
  /** Lets go of all jobs: each check looks at every one there is. */
  forgetJobs(): Promise<void>;
  close(): Promise<void>;
}

export async function startSystem(): Promise<System> {
  const database = await createDatabase();
  const clock = new PlayedClock();
  // One after the other: both open the epoch and the partitions.
  const first = await startReplica(database, clock);
  const second = await startReplica(database, clock);
  return {
    engine: first.engine,
    store: first.store,
    secondEngine: second.engine,
    clock,
    database,
    newNamespace: () => `run-${randomUUID()}`,
    forgetJobs: async () => {
      // No TRUNCATE: that would lock out the replicas' own reads of the journal.
      for (const table of TABLES) await database.sql`delete from stint.${database.sql(table)}`;
    },
    close: async () => {
      await Promise.all([first.close(), second.close()]);
      await database.drop();
    },
  };
}

const TABLES = [
  ...['job', 'ready', 'lease', 'deferred', 'parked', 'attempt', 'terminal', 'job_event', 'custom_event'],
  ...['checkpoint', 'idem', 'dead_letter', 'request', 'journal', 'gate'],
];

interface Replica {
  readonly engine: RunningEngine;
  readonly store: Store;
  close(): Promise<void>;
}

async function startReplica(database: TestDatabase, clock: Clock): Promise<Replica> {
  const store = await openStore({ url: database.url, clock, random: () => 0 });
  const hub: EventHub = new EventHub({
    journal: store.journal,
    doorbell: store.doorbell,
    onEvents: (events) => engine.onEvents(events),
    onBegin: () => engine.onBegin(),
    onQueues: () => engine.onQueues(),
    onNewEpoch: () => engine.onNewEpoch(),
    onFailure: (error) => {
      throw error;
    },
  });
  const engine = createEngine({
    repository: store.repository,
    log: hub,
    random: () => 0,
    onFailure: (_what, error) => {
      throw error;
    },
    onHealthy: () => undefined,
  });
  await hub.start();
  return {
    engine,
    store,
    close: async () => {
      await engine.drain();
      await hub.stop();
      await store.close();
    },
  };
}
