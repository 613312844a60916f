import { createEngine, type RunningEngine } from '../../src/engine/create-engine.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { Doorbell } from '../../src/engine/ports/doorbell.ts';
import type { Journal, LogPosition } from '../../src/engine/ports/journal.ts';
import type { JobEvent } from '../../src/domain/event.ts';
import { EventHub } from '../../src/feed/event-hub.ts';
import { openStore, type Store } from '../../src/repository/store.ts';
import type { TestDatabase } from '../support/database.ts';

/** One process' feed and engine over a database that others may share; no upkeep. */
export interface Replica {
  readonly engine: RunningEngine;
  readonly hub: EventHub;
  readonly store: Store;
  /** Positions that were read from, the hub's and its readers', oldest first. */
  readonly reads: readonly { readonly from: LogPosition; readonly upTo: string | null }[];
  /** What the hub read, whoever wanted it. */
  readonly seen: readonly JobEvent[];
  readonly newEpochs: () => number;
  close(): Promise<void>;
}

export interface ReplicaOptions {
  readonly ringEvents?: number;
  /** Neither rings nor hears: polling is all that is left. */
  readonly deaf?: boolean;
  /** What stands between the replica and its storage. */
  readonly through?: (store: Store) => Store;
}

const DEAF: Doorbell = {
  ring: () => undefined,
  tell: () => Promise.resolve(),
  listen: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

export async function startReplica(database: TestDatabase, options: ReplicaOptions = {}): Promise<Replica> {
  const { ringEvents, deaf = false, through = (store) => store } = options;
  const store = through(await openStore({ url: database.url, clock: DATABASE_CLOCK, random: () => 0 }));
  await store.repository.ensurePartitions();
  const reads: { from: LogPosition; upTo: string | null }[] = [];
  const seen: JobEvent[] = [];
  let newEpochs = 0;
  const broken = (_what: unknown, error: unknown) => {
    throw error;
  };
  const hub: EventHub = new EventHub({
    journal: recorded(store.journal, reads),
    doorbell: deaf ? DEAF : store.doorbell,
    onEvents: (events) => {
      seen.push(...events);
      engine.onEvents(events);
    },
    onBegin: () => engine.onBegin(),
    onQueues: () => engine.onQueues(),
    onProgress: (read) => engine.onProgress(read),
    onNewEpoch: () => {
      newEpochs += 1;
      engine.onNewEpoch();
    },
    onFailure: (error) => broken('feed', error),
    ...(ringEvents === undefined ? {} : { ringEvents }),
  });
  const engine = createEngine({
    ...{ repository: store.repository, log: hub, random: () => 0, onFailure: broken, onHealthy: () => undefined },
    tellProgress: (told) => store.doorbell.tell(told),
  });
  await hub.start();
  return {
    engine,
    hub,
    store,
    reads,
    seen,
    newEpochs: () => newEpochs,
    close: async () => {
      await engine.drain();
      await engine.stop();
      await hub.stop();
      await store.close();
    },
  };
}

function recorded(journal: Journal, reads: { from: LogPosition; upTo: string | null }[]): Journal {
  return {
    ...journal,
    read: (from, upTo) => {
      reads.push({ from, upTo });
      return journal.read(from, upTo);
    },
  };
}
