import { randomUUID } from 'node:crypto';
import { createEngine, type RunningEngine } from '../../src/engine/create-engine.ts';
import { EventHub } from '../../src/feed/event-hub.ts';
import { openStore, type Store } from '../../src/repository/store.ts';
import { PlayedClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

/** The real engine on a real Postgres, with time played by the test and no upkeep but what the test asks for. */
export interface System {
  readonly engine: RunningEngine;
  readonly store: Store;
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
  const store = await openStore({ url: database.url, clock, random: () => 0 });
  await store.repository.ensurePartitions();
  const hub: EventHub = new EventHub({
    journal: store.journal,
    doorbell: store.doorbell,
    onEvents: (events) => engine.onEvents(events),
    onBegin: () => engine.onBegin(),
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
    clock,
    database,
    newNamespace: () => `run-${randomUUID()}`,
    forgetJobs: async () => {
      await database.sql`truncate stint.job, stint.ready, stint.lease, stint.deferred, stint.attempt, stint.terminal, stint.job_event,
        stint.checkpoint, stint.idem, stint.dead_letter, stint.journal`;
    },
    close: async () => {
      await engine.drain();
      await hub.stop();
      await store.close();
      await database.drop();
    },
  };
}
